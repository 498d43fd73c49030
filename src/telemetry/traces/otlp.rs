//! The exporters of OTLP, over gRPC and over HTTP.

use std::{error::Error, fmt, future::Future, pin::Pin, sync::Arc, thread, time::Duration};

use http::header::CONTENT_TYPE;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    Compression, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
    tonic_types::transport::{Certificate, ClientTlsConfig, Identity},
};
use opentelemetry_sdk::{Resource, trace::SpanExporter as _};
use reqwest::{blocking::Client, redirect::Policy};
use tokio::runtime::Handle;

use super::{
    exporter::Way,
    settings::{Otlp, Protocol},
};

/// What an export may take beyond the time that the exporter gives itself.
const SLACK: Duration = Duration::from_millis(500);

/// Prepares the way to a collector, which need not be there. Must be called in a runtime of tokio.
///
/// # Errors
/// If it cannot be one.
pub fn way(otlp: &Otlp, resource: &Resource) -> Result<Way, Box<dyn Error + Send + Sync>> {
    let grpc = otlp.protocol == Protocol::Grpc;
    let mut exporter = if grpc { over_grpc(otlp)? } else { over_http(otlp)? };
    exporter.set_resource(resource);
    Ok(if grpc {
        Way::Async(Arc::new(exporter), Handle::current(), otlp.timeout + SLACK)
    } else {
        Way::Blocking(Box::new(exporter))
    })
}

fn over_grpc(otlp: &Otlp) -> Result<SpanExporter, Box<dyn Error + Send + Sync>> {
    let builder = SpanExporter::builder().with_tonic();
    let mut builder = builder.with_endpoint(&otlp.endpoint).with_timeout(otlp.timeout);
    if otlp.gzip {
        builder = builder.with_compression(Compression::Gzip);
    }
    if otlp.endpoint.starts_with("https:") {
        let mut tls = ClientTlsConfig::new();
        tls = match &otlp.certificate {
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
            None => tls.with_native_roots(),
        };
        if let Some((certificate, key)) = &otlp.identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        builder = builder.with_tls_config(tls);
    }
    Ok(builder.build()?)
}

fn over_http(otlp: &Otlp) -> Result<SpanExporter, Box<dyn Error + Send + Sync>> {
    let protocol = match otlp.protocol {
        Protocol::HttpJson => opentelemetry_otlp::Protocol::HttpJson,
        _ => opentelemetry_otlp::Protocol::HttpBinary,
    };
    let mut builder = SpanExporter::builder()
        .with_http()
        .with_protocol(protocol)
        .with_endpoint(&otlp.endpoint)
        .with_timeout(otlp.timeout)
        .with_http_client(client(otlp)?);
    if otlp.gzip {
        builder = builder.with_compression(Compression::Gzip);
    }
    Ok(builder.build()?)
}

fn client(otlp: &Otlp) -> Result<Collector, Box<dyn Error + Send + Sync>> {
    let mut builder =
        Client::builder().timeout(otlp.timeout).redirect(Policy::none()).no_proxy().referer(false);
    if otlp.endpoint.starts_with("https:") {
        if let Some(pem) = &otlp.certificate {
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem)?);
        }
        if let Some((certificate, key)) = &otlp.identity {
            let pem = [key.as_slice(), b"\n", certificate].concat();
            builder = builder.identity(reqwest::Identity::from_pem(&pem)?);
        }
    } else {
        // Without TLS no certificates are read, which an image may not even have.
        builder = builder.tls_certs_only(std::iter::empty());
    }
    // It has a runtime of its own, which must not be made in another one.
    let made = thread::spawn(move || builder.build()).join();
    Ok(Collector(made.map_err(|_| "the HTTP client cannot be made")??))
}

/// A collector over HTTP. What answers 200 and is none has taken nothing.
#[derive(Debug)]
struct Collector(Client);

#[derive(Debug)]
struct NoCollector;

impl fmt::Display for NoCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what answered is no collector: it speaks no OTLP")
    }
}

impl Error for NoCollector {}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> Answer<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let response = self.0.send_bytes(request).await?;
            let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let speaks = match kind {
                Some(kind) => ["application/x-protobuf", "application/json"]
                    .iter()
                    .any(|otlp| kind.to_ascii_lowercase().starts_with(otlp)),
                None => response.body().is_empty(),
            };
            if response.status().is_success() && !speaks {
                return Err(NoCollector.into());
            }
            Ok(response)
        })
    }
}
