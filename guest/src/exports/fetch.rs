//! `sockbox:net/fetch`.

use super::{Component, nanos};
use crate::bindings::exports::sockbox::net::fetch as wit;
use crate::bindings::wasi::io::streams::OutputStream;
use crate::fetch::{
    ConnectFailure, Denied, FetchError, Limit, Options, Request, RequestBody, Response, Stage,
    Timeouts, fetch,
};
use crate::http1::{Header, Limits};
use crate::net::wasi::{InputSource, OutputSink, WasiNet, to_wasi};
use std::cell::RefCell;
use std::time::Duration;

impl wit::Guest for Component {
    type Response = FetchResponse;

    fn fetch(request: wit::Request) -> Result<wit::Response, wit::ErrorCode> {
        let net = WasiNet::instance();
        let request = Request {
            method: request.method,
            url: request.url,
            headers: request.headers.into_iter().map(Into::into).collect(),
            body: match request.body {
                wit::RequestBody::None => RequestBody::Empty,
                wit::RequestBody::Bytes(bytes) => RequestBody::Bytes(bytes),
                wit::RequestBody::Stream(body) => RequestBody::Source {
                    source: InputSource::new(net.reactor(), body.input),
                    length: body.length,
                },
            },
            options: request.options.into(),
        };
        let response = net.reactor().block_on(fetch(&net, request))?;
        Ok(wit::Response::new(FetchResponse {
            net,
            response: RefCell::new(response),
        }))
    }
}

/// A response and the network that it comes over.
pub struct FetchResponse {
    net: WasiNet,
    response: RefCell<Response<WasiNet>>,
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
        let timeouts = Timeouts::default();
        let limits = Limits::default();
        let or = |given: Option<u64>, default| given.map_or(default, Duration::from_nanos);
        Self {
            timeouts: Timeouts {
                lookup: or(options.lookup_timeout, timeouts.lookup),
                connect: or(options.connect_timeout, timeouts.connect),
                first_byte: or(options.first_byte_timeout, timeouts.first_byte),
                idle: or(options.idle_timeout, timeouts.idle),
                total: options.total_timeout.map(Duration::from_nanos),
            },
            limits: Limits {
                max_head_size: options.max_head_size.map_or(limits.max_head_size, |size| {
                    usize::try_from(size).unwrap_or(usize::MAX)
                }),
                ..limits
            },
            max_body_size: options.max_body_size,
            trace: options.trace.then_some(trace as fn(&str)),
        }
    }
}

/// Tells people on standard error what happens. Whether they can be told doesn't matter.
pub fn trace(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl From<FetchError> for wit::ErrorCode {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::InvalidUrl(why) => Self::InvalidUrl(why),
            FetchError::UnsupportedScheme(scheme) => Self::UnsupportedScheme(scheme),
            FetchError::InvalidRequest(why) => Self::InvalidRequest(why),
            FetchError::Denied(Denied::Lookup(name)) => Self::Denied(wit::Target::Lookup(name)),
            FetchError::Denied(Denied::Connect(address)) => {
                Self::Denied(wit::Target::Connect(to_wasi(address)))
            }
            FetchError::ResolveFailed { reason, .. } => Self::ResolveFailed(reason.into()),
            FetchError::ConnectFailed(failures) => {
                Self::ConnectFailed(failures.into_iter().map(Into::into).collect())
            }
            FetchError::SendFailed(reason) => Self::SendFailed(reason.into()),
            FetchError::ReceiveFailed(reason) => Self::ReceiveFailed(reason.into()),
            FetchError::Protocol(how) => Self::ProtocolError(how),
            FetchError::EmptyResponse => Self::EmptyResponse,
            FetchError::IncompleteBody { received, expected } => {
                Self::IncompleteBody(wit::Incomplete { received, expected })
            }
            FetchError::Timeout(timeout) => Self::Timeout(wit::Timeout {
                stage: timeout.stage.into(),
                limit: nanos(timeout.limit),
                total: timeout.total,
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
            Stage::Lookup => Self::Lookup,
            Stage::Connect => Self::Connect,
            Stage::Send => Self::Send,
            Stage::FirstByte => Self::FirstByte,
            Stage::Head => Self::Head,
            Stage::Body => Self::Body,
        }
    }
}

impl From<Limit> for wit::Limit {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::HeadSize => Self::HeadSize,
            Limit::BodySize => Self::BodySize,
            Limit::HeaderCount => Self::HeaderCount,
            Limit::InterimResponses => Self::InterimResponses,
            Limit::TrailerSize => Self::TrailerSize,
        }
    }
}
