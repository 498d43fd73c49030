//! What a request asks for, by its method, path and query.

use http::{Method, Uri};

/// The group and version that are answered.
pub const GROUP: &str = "external.metrics.k8s.io";
pub const VERSION: &str = "v1beta1";

/// What is asked for.
#[derive(Debug, PartialEq)]
pub enum Asked<'a> {
    /// `/livez`: nobody has to say who they are.
    Live,
    /// `/readyz`: the same.
    Ready,
    /// `/apis`: the groups.
    Groups,
    /// `/apis/external.metrics.k8s.io`: its versions.
    Group,
    /// `/apis/external.metrics.k8s.io/v1beta1`: its metrics.
    Version,
    /// A number.
    Metric { namespace: &'a str, name: &'a str },
    /// `/openapi/v2`: the whole description.
    OpenApiV2,
    /// `/openapi/v3`: where the descriptions are.
    OpenApiV3,
    /// `/openapi/v3/apis/external.metrics.k8s.io/v1beta1`.
    OpenApiV3Version,
    /// Something else.
    Other,
}

impl<'a> Asked<'a> {
    pub fn of(uri: &'a Uri) -> Self {
        let mut segments = [""; 6];
        let mut count = 0;
        let path = uri.path().strip_prefix('/').unwrap_or_default();
        for segment in path.split('/') {
            match segments.get_mut(count) {
                Some(place) => *place = segment,
                None => return Self::Other,
            }
            count += 1;
        }
        match segments[..count] {
            ["livez"] => Self::Live,
            ["readyz"] => Self::Ready,
            ["apis"] => Self::Groups,
            ["apis", GROUP] => Self::Group,
            ["apis", GROUP, VERSION] => Self::Version,
            ["apis", GROUP, VERSION, "namespaces", namespace, name]
                if !namespace.is_empty() && !name.is_empty() =>
            {
                Self::Metric { namespace, name }
            }
            ["openapi", "v2"] => Self::OpenApiV2,
            ["openapi", "v3"] => Self::OpenApiV3,
            ["openapi", "v3", "apis", GROUP, VERSION] => Self::OpenApiV3Version,
            _ => Self::Other,
        }
    }
}

/// A request that cannot be answered whoever sends it, with what it should be.
#[derive(Debug, PartialEq)]
pub enum Refused {
    /// Another method than GET.
    Method,
    /// `watch`: numbers are read one at a time.
    Watch,
    /// There is no label to select by.
    Selector,
}

/// Whether a request for a number can be answered: a GET, without a selector. Other parameters, such as `limit` and
/// `timeout`, change nothing about one number.
pub fn refused(method: &Method, uri: &Uri) -> Option<Refused> {
    if method != Method::GET {
        return Some(Refused::Method);
    }
    let query = uri.query().unwrap_or_default();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match (&*key, value.trim()) {
            // Kubernetes takes any value of a boolean but these two for true.
            ("watch", value) if !["0", "false"].contains(&value) => return Some(Refused::Watch),
            ("labelSelector" | "fieldSelector", selector) if !selector.is_empty() => {
                return Some(Refused::Selector);
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_path_means_one_thing_or_nothing() {
        let metric = Asked::Metric { namespace: "prod", name: "roomcast_connections" };
        for (path, asked) in [
            ("/livez", Asked::Live),
            ("/readyz", Asked::Ready),
            ("/apis", Asked::Groups),
            ("/apis/external.metrics.k8s.io", Asked::Group),
            ("/apis/external.metrics.k8s.io/v1beta1", Asked::Version),
            ("/apis/external.metrics.k8s.io/v1beta1?timeout=5s", Asked::Version),
            (
                "/apis/external.metrics.k8s.io/v1beta1/namespaces/prod/roomcast_connections?x=1",
                metric,
            ),
            ("/openapi/v2", Asked::OpenApiV2),
            ("/openapi/v3", Asked::OpenApiV3),
            ("/openapi/v3/apis/external.metrics.k8s.io/v1beta1", Asked::OpenApiV3Version),
            ("/", Asked::Other),
            ("/apis/", Asked::Other),
            ("/apis/custom.metrics.k8s.io", Asked::Other),
            ("/apis/external.metrics.k8s.io/v1", Asked::Other),
            ("/apis/external.metrics.k8s.io/v1beta1/roomcast_connections", Asked::Other),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces//x", Asked::Other),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces/prod/", Asked::Other),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces/prod/x/y", Asked::Other),
            ("/apis/external.metrics.k8s.io/v1beta1/namespaces/prod", Asked::Other),
            ("//apis", Asked::Other),
        ] {
            assert_eq!(Asked::of(&path.parse().unwrap()), asked, "{path}");
        }
    }

    #[test]
    fn selectors_and_watches_are_refused_and_the_rest_is_passed_over() {
        for (query, expected) in [
            ("", None),
            ("?labelSelector=", None),
            ("?labelSelector=%20&limit=500&resourceVersion=0&timeout=5s&watch=false", None),
            ("?watch=0", None),
            ("?labelSelector=app%3Dchat", Some(Refused::Selector)),
            ("?labelSelector=!app", Some(Refused::Selector)),
            ("?labelSelector=&labelSelector=a", Some(Refused::Selector)),
            ("?fieldSelector=metadata.name%3Dx", Some(Refused::Selector)),
            ("?watch=true", Some(Refused::Watch)),
            ("?watch=1", Some(Refused::Watch)),
            ("?watch", Some(Refused::Watch)),
        ] {
            let uri = format!("/x{query}").parse().unwrap();
            assert_eq!(refused(&Method::GET, &uri), expected, "{query}");
        }
        let uri = Uri::from_static("/x");
        for method in [Method::POST, Method::DELETE, Method::HEAD, Method::OPTIONS] {
            assert_eq!(refused(&method, &uri), Some(Refused::Method));
        }
    }
}
