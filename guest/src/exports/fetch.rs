//! `sockbox:net/fetch`.

use super::{Component, nanos};
use crate::bindings::exports::sockbox::net::fetch as wit;
use crate::bindings::wasi::io::streams::OutputStream;
use crate::bindings::wasi::sockets::network::IpAddressFamily;
use crate::fetch::{
    Client, ConnectFailure, Denied, Family, FetchError, MinSpeed, Options, Request, RequestBody,
    Response, ResponseLimit, Stage, StaticHost, TimeBound, Timeouts, Timings, trace_to_stderr,
};
use crate::http1::{Header, Limits};
use crate::net::wasi::{InputSource, OutputSink, WasiNet, ip_from_wasi, to_wasi};
use std::cell::RefCell;
use std::time::Duration;

thread_local! {
    /// One client for the whole instance, so every later request can reuse its connections.
    static CLIENT: Client<WasiNet> = Client::new(WasiNet::instance());
}

impl wit::Guest for Component {
    type Response = FetchResponse;

    fn fetch(request: wit::Request) -> Result<wit::Response, wit::ErrorCode> {
        let client = CLIENT.with(Client::clone);
        let net = client.net().clone();
        let request = Request {
            method: request.method,
            url: request.url,
            headers: request.headers.into_iter().map(Into::into).collect(),
            omit: request.omit,
            body: body(&net, request.body),
            options: request.options.into(),
        };
        let response = net.reactor().block_on(client.fetch(request))?;
        Ok(FetchResponse::export(net, response))
    }
}

fn body(net: &WasiNet, body: wit::RequestBody) -> RequestBody<InputSource> {
    match body {
        wit::RequestBody::None => RequestBody::Empty,
        wit::RequestBody::Bytes(bytes) => RequestBody::Bytes(bytes),
        wit::RequestBody::Stream(body) => RequestBody::Source {
            source: InputSource::new(net.reactor(), body.input),
            length: body.length,
        },
    }
}

/// A response and the network that it comes over.
pub struct FetchResponse {
    net: WasiNet,
    response: RefCell<Response<WasiNet>>,
}

impl FetchResponse {
    fn export(net: WasiNet, response: Response<WasiNet>) -> wit::Response {
        wit::Response::new(Self {
            net,
            response: RefCell::new(response),
        })
    }
}

impl wit::GuestResponse for FetchResponse {
    fn head(&self) -> wit::ResponseHead {
        let response = self.response.borrow();
        let info = response.info();
        wit::ResponseHead {
            minor_version: info.head.minor_version,
            status: info.head.status,
            reason: info.head.reason.clone(),
            headers: info.head.headers.iter().map(Into::into).collect(),
            raw: info.head.raw.clone(),
            url: info.url.clone(),
            remote_address: to_wasi(info.remote),
            local_address: to_wasi(info.local),
            content_length: info.content_length,
            reused: info.reused,
            connect_failures: info.failures.iter().copied().map(Into::into).collect(),
            request_head_size: info.request_head_size,
            uploaded: info.uploaded,
            timings: info.timings.into(),
        }
    }

    fn read(&self, max: u64) -> Result<Option<Vec<u8>>, wit::ErrorCode> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut response = self.response.borrow_mut();
        Ok(self.net.reactor().block_on(response.read(max))?)
    }

    fn write_to(&self, output: &OutputStream, max: u64) -> Result<u64, wit::ErrorCode> {
        let mut response = self.response.borrow_mut();
        let mut sink = OutputSink::new(self.net.reactor().clone(), output);
        Ok(self
            .net
            .reactor()
            .block_on(response.write_to(&mut sink, max))?)
    }

    fn trailers(&self) -> Vec<wit::Header> {
        self.response
            .borrow()
            .trailers()
            .iter()
            .map(Into::into)
            .collect()
    }

    fn redirect(&self) -> Result<Option<wit::Redirect>, wit::ErrorCode> {
        let redirect = self.response.borrow().redirect()?;
        Ok(redirect.map(|redirect| wit::Redirect {
            url: redirect.url,
            method: redirect.method,
            sends_body: redirect.sends_body,
            cross_origin: redirect.cross_origin,
            downgrade: redirect.downgrade,
        }))
    }

    fn follow(&self, body: wit::RequestBody) -> Result<wit::Response, wit::ErrorCode> {
        let body = self::body(&self.net, body);
        let mut response = self.response.borrow_mut();
        let client = CLIENT.with(Client::clone);
        let following = client.follow(&mut response, body);
        let next = self.net.reactor().block_on(following)?;
        Ok(Self::export(self.net.clone(), next))
    }
}

impl From<Timings> for wit::Timings {
    fn from(timings: Timings) -> Self {
        Self {
            resolve: nanos(timings.resolve),
            connect: nanos(timings.connect),
            handshake: nanos(timings.handshake),
            sent: nanos(timings.sent),
            first_byte: nanos(timings.first_byte),
            head: nanos(timings.head),
        }
    }
}

impl From<wit::Header> for Header {
    fn from(header: wit::Header) -> Self {
        Self {
            name: header.name,
            value: header.value,
        }
    }
}

impl From<&Header> for wit::Header {
    fn from(header: &Header) -> Self {
        Self {
            name: header.name.clone(),
            value: header.value.clone(),
        }
    }
}

impl From<wit::Options> for Options {
    fn from(options: wit::Options) -> Self {
        let defaults = Self::default();
        let or = |given: Option<u64>, default| given.map_or(default, Duration::from_nanos);
        Self {
            timeouts: Timeouts {
                resolve: or(options.resolve_timeout, defaults.timeouts.resolve),
                connect: or(options.connect_timeout, defaults.timeouts.connect),
                handshake: or(options.handshake_timeout, defaults.timeouts.handshake),
                first_byte: or(options.first_byte_timeout, defaults.timeouts.first_byte),
                idle: or(options.idle_timeout, defaults.timeouts.idle),
                total: options.total_timeout.map(Duration::from_nanos),
            },
            attempt_delay: or(options.attempt_delay, defaults.attempt_delay),
            expect_timeout: or(options.expect_timeout, defaults.expect_timeout),
            min_speed: options.min_speed.map(|min| MinSpeed {
                bytes_per_second: min.bytes_per_second,
                period: Duration::from_nanos(min.period),
            }),
            max_speed: options.max_speed,
            limits: Limits {
                max_head_size: options
                    .max_head_size
                    .map_or(defaults.limits.max_head_size, |size| {
                        usize::try_from(size).unwrap_or(usize::MAX)
                    }),
                ..defaults.limits
            },
            max_body_size: options.max_body_size,
            max_redirects: options.max_redirects.unwrap_or(defaults.max_redirects),
            downgrade: options.downgrade,
            family: options.family.map(|family| match family {
                IpAddressFamily::Ipv4 => Family::Ipv4,
                IpAddressFamily::Ipv6 => Family::Ipv6,
            }),
            static_hosts: options.static_hosts.into_iter().map(Into::into).collect(),
            decode: options.decode,
            close: options.close,
            trace: options.trace.then_some(trace_to_stderr as fn(&str)),
        }
    }
}

impl From<wit::StaticHost> for StaticHost {
    fn from(host: wit::StaticHost) -> Self {
        Self {
            host: host.host,
            port: host.port,
            addresses: host.addresses.into_iter().map(ip_from_wasi).collect(),
        }
    }
}

impl From<FetchError> for wit::ErrorCode {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::InvalidUrl(why) => Self::InvalidUrl(why),
            FetchError::UnsupportedScheme(scheme) => Self::UnsupportedScheme(scheme),
            FetchError::InvalidRequest(why) => Self::InvalidRequest(why),
            FetchError::Denied(Denied::Resolve(name)) => Self::Denied(wit::Target::Resolve(name)),
            FetchError::Denied(Denied::Connect(address)) => {
                Self::Denied(wit::Target::Connect(to_wasi(address)))
            }
            FetchError::InsecureRedirect(url) => Self::InsecureRedirect(url),
            FetchError::ResolveFailed { reason, .. } => Self::ResolveFailed(reason.into()),
            FetchError::ConnectFailed(failures) => {
                Self::ConnectFailed(failures.into_iter().map(Into::into).collect())
            }
            FetchError::TlsFailed(why) => Self::TlsFailed(why),
            FetchError::CertificateRejected(why) => Self::CertificateRejected(why),
            FetchError::SendFailed(reason) => Self::SendFailed(reason.into()),
            FetchError::ReceiveFailed(reason) => Self::ReceiveFailed(reason.into()),
            FetchError::Protocol(how) => Self::ProtocolError(how),
            FetchError::EmptyResponse => Self::EmptyResponse,
            FetchError::IncompleteBody { received, expected } => {
                Self::IncompleteBody(wit::Incomplete { received, expected })
            }
            FetchError::TooManyRedirects(limit) => Self::TooManyRedirects(limit),
            FetchError::ContentEncoding(how) => Self::ContentEncoding(how),
            FetchError::Timeout(timeout) => Self::Timeout(wit::Timeout {
                stage: timeout.stage.into(),
                bound: timeout.bound.into(),
                limit: nanos(timeout.limit),
                received: timeout.received,
            }),
            FetchError::LimitExceeded(limit) => Self::LimitExceeded(limit.into()),
            FetchError::WriteFailed => Self::WriteFailed,
        }
    }
}

impl From<ConnectFailure> for wit::ConnectFailure {
    fn from(failure: ConnectFailure) -> Self {
        Self {
            address: to_wasi(failure.address),
            reason: failure.reason.into(),
        }
    }
}

impl From<Stage> for wit::Stage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Resolve => Self::Resolve,
            Stage::Connect => Self::Connect,
            Stage::Handshake => Self::Handshake,
            Stage::Send => Self::Send,
            Stage::FirstByte => Self::FirstByte,
            Stage::Head => Self::Head,
            Stage::Body => Self::Body,
        }
    }
}

impl From<TimeBound> for wit::TimeBound {
    fn from(bound: TimeBound) -> Self {
        match bound {
            TimeBound::Stage => Self::Stage,
            TimeBound::Total => Self::Total,
            TimeBound::Speed => Self::Speed,
        }
    }
}

impl From<ResponseLimit> for wit::ResponseLimit {
    fn from(limit: ResponseLimit) -> Self {
        match limit {
            ResponseLimit::HeadSize => Self::HeadSize,
            ResponseLimit::BodySize => Self::BodySize,
            ResponseLimit::HeaderCount => Self::HeaderCount,
            ResponseLimit::InterimResponses => Self::InterimResponses,
            ResponseLimit::TrailerSize => Self::TrailerSize,
        }
    }
}
