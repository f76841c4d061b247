//! Where a bridge listens.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ureq::http::Uri;
use ureq::http::uri::Scheme;

/// The address of a bridge's HTTP interface: `http://127.0.0.1:8000`, with a path where one stands before its routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BridgeUrl {
    /// As in a URL: IPv6 addresses in brackets.
    authority: String,
    host: String,
    port: u16,
    /// Without a slash at its end.
    path: String,
}

impl FromStr for BridgeUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("not a URL ({error})"))?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => {}
            Some(scheme) if *scheme == Scheme::HTTPS => {
                return Err("TLS is not spoken: name the address on which the bridge itself listens".to_owned());
            }
            _ => return Err("it must begin with http://".to_owned()),
        }
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("a name or password in it would be shown: use bridge.token_file".to_owned());
        }
        if uri.query().is_some() || text.contains('#') {
            return Err("it must end with the host, the port or a path".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("it names no host".to_owned());
        }
        let written = authority.as_str().trim_start_matches(authority.host());
        if !written.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err("it names no port".to_owned());
        }
        let (port, path) = (authority.port_u16().unwrap_or(80), uri.path().trim_end_matches('/').to_owned());
        Ok(Self { authority: authority.to_string(), host, port, path })
    }
}

impl BridgeUrl {
    /// The host, an IPv6 address without its brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The port; 80 where none is named.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The same at this address.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { authority: address.to_string(), host: address.ip().to_string(), port: address.port(), ..self.clone() }
    }

    /// Whether it is certain to be this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.is_localhost() || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// Whether the host is the one name that needs no looking up.
    pub(crate) fn is_localhost(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
    }

    /// The URL of one of its routes, which begins with a slash and is encoded.
    pub(crate) fn route(&self, route: &str) -> String {
        format!("{self}{route}")
    }
}

impl fmt::Display for BridgeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::BridgeUrl;

    fn parsed(text: &str) -> BridgeUrl {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn routes_follow_the_path() {
        for (text, route) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/sessions"),
            ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/sessions"),
            ("http://[::1]:9/a/b/", "http://[::1]:9/a/b/sessions"),
            ("HTTP://LocalHost", "http://LocalHost/sessions"),
        ] {
            assert_eq!(parsed(text).route("/sessions"), route);
        }
    }

    #[test]
    fn loopback_is_told_by_address_or_the_one_name() {
        for (text, loopback) in [
            ("http://127.0.0.1", true),
            ("http://127.9.8.7:1", true),
            ("http://[::1]:8000", true),
            ("http://LOCALHOST:8000", true),
            ("http://0.0.0.0:8000", false),
            ("http://192.168.1.2", false),
            ("http://localhost.example.org", false),
            ("http://127.0.0.1.example.org", false),
            ("http://2130706433", false),
            ("http://[::ffff:10.0.0.1]", false),
        ] {
            assert_eq!(parsed(text).is_loopback(), loopback, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_bridge_is_refused_with_the_reason() {
        for (text, reason) in [
            ("127.0.0.1:8000", "http://"),
            ("bridge", "http://"),
            ("ftp://127.0.0.1", "http://"),
            ("https://127.0.0.1", "TLS"),
            ("http://", "not a URL"),
            ("http://a b", "not a URL"),
            ("http://me:secret@127.0.0.1", "token_file"),
            ("http://127.0.0.1/?x=1", "must end"),
            ("http://127.0.0.1/#x", "must end"),
            ("http://:80", "host"),
            ("http://127.0.0.1:", "port"),
            ("http://127.0.0.1:0", "port"),
            ("http://127.0.0.1:99999", "port"),
        ] {
            let error = text.parse::<BridgeUrl>().expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
