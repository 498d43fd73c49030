//! A client's way into a namespace and out of it; dynamic namespaces are made on that way.
//! socketioxide and the backplane call it.
//! The server registers namespaces here, and nothing else of the gateway but `Roomcast` may call it.

pub mod attach;
pub mod disconnect;
pub mod dynamic;
pub mod member_socket;
pub mod middleware;
pub mod refused;
