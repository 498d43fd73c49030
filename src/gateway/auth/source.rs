//! Where the token of a client is found: in the `auth` of its CONNECT, else in the request that opened
//! its connection, where the edge has looked for it (`edge/requests/kept_headers.rs`).

/// The token that counts. One that is there and invalid is not passed over for another.
pub fn find<'a>(auth: Option<&'a str>, request: Option<&'a str>) -> Option<&'a str> {
    auth.or(request)
}
