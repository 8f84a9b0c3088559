//! The functions of WASI 0.3.

use super::{
    FORBIDDEN, INVALID_SYNTAX, METHOD_INVALID, Parts, SIZE_EXCEEDED, URI_INVALID, record, word,
};
use crate::ctx::{self, SockboxView};
use crate::replaced::{HTTP_CLIENT_0_3, HTTP_TYPES_0_3};
use sockbox_policy::audit::HttpRefused;
use std::future::Future;
use std::pin::Pin;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, LinkerInstance, Resource, ResourceTable};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::http::client::HostWithStore;
use wasmtime_wasi_http::p3::bindings::http::types::{
    ErrorCode, HeaderError, HostFields, HostRequest as _, Method, Response, Scheme,
};
use wasmtime_wasi_http::{FieldMap, WasiHttp};

type Headers<T> = wasmtime::Result<(Result<T, HeaderError>,)>;

/// Replace the functions that refuse something.
pub(crate) fn replace<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    replace_send(&mut linker.instance(HTTP_CLIENT_0_3.name())?)?;
    let mut types = linker.instance(HTTP_TYPES_0_3.name())?;
    replace_headers(&mut types)?;
    replace_parts(&mut types)
}

fn replace_send<T: SockboxView>(client: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    client.func_wrap_concurrent(
        HTTP_CLIENT_0_3.item("send"),
        |store: &Accessor<T>,
         (request,): (Resource<Request>,)|
         -> Pin<
            Box<
                dyn Future<Output = wasmtime::Result<(Result<Resource<Response>, ErrorCode>,)>>
                    + Send
                    + '_,
            >,
        > { Box::pin(async move { Ok((send(store, request).await?,)) }) },
    )
}

/// Send a request, and record it if wasmtime-wasi-http refuses it, which it does before it calls the hooks of this crate.
async fn send<T: SockboxView>(
    store: &Accessor<T>,
    request: Resource<Request>,
) -> wasmtime::Result<Result<Resource<Response>, ErrorCode>> {
    let (parts, before) = store.with(|mut access| -> wasmtime::Result<_> {
        let parts = parts(ctx::http(access.get()).table, &request)?;
        Ok((parts, access.get().sockbox().ctx.http.sent()))
    })?;
    let client = store.with_getter::<WasiHttp>(ctx::http);
    let code = match WasiHttp::send(&client, request).await {
        Ok(response) => return Ok(Ok(response)),
        Err(error) => error.downcast()?,
    };
    store.with(|mut access| {
        let data = access.get();
        if data.sockbox().ctx.http.sent() == before {
            let error = word(&code.clone().into());
            record(data, parts.refused(error));
        }
    });
    Ok(Err(code))
}

fn replace_headers<T: SockboxView>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap(
        HTTP_TYPES_0_3.item("[static]fields.from-list"),
        |mut store: StoreContextMut<'_, T>,
         (entries,): (Vec<(String, Vec<u8>)>,)|
         -> Headers<Resource<FieldMap>> {
            let fields = HostFields::new(&mut ctx::http(store.data_mut()))?;
            for (name, value) in entries {
                let this = Resource::new_borrow(fields.rep());
                let added = ctx::http(store.data_mut()).append(this, name.clone(), value);
                if let Err(error) = told(store.data_mut(), &name, added)? {
                    HostFields::drop(&mut ctx::http(store.data_mut()), fields)?;
                    return Ok((Err(error),));
                }
            }
            Ok((Ok(fields),))
        },
    )?;
    types.func_wrap(
        HTTP_TYPES_0_3.item("[method]fields.set"),
        |mut store: StoreContextMut<'_, T>,
         (this, name, values): (Resource<FieldMap>, String, Vec<Vec<u8>>)|
         -> Headers<()> {
            let set = ctx::http(store.data_mut()).set(this, name.clone(), values);
            Ok((told(store.data_mut(), &name, set)?,))
        },
    )?;
    types.func_wrap(
        HTTP_TYPES_0_3.item("[method]fields.append"),
        |mut store: StoreContextMut<'_, T>,
         (this, name, value): (Resource<FieldMap>, String, Vec<u8>)|
         -> Headers<()> {
            let added = ctx::http(store.data_mut()).append(this, name.clone(), value);
            Ok((told(store.data_mut(), &name, added)?,))
        },
    )?;
    types.func_wrap(
        HTTP_TYPES_0_3.item("[method]fields.delete"),
        |mut store: StoreContextMut<'_, T>,
         (this, name): (Resource<FieldMap>, String)|
         -> Headers<()> {
            let deleted = ctx::http(store.data_mut()).delete(this, name.clone());
            Ok((told(store.data_mut(), &name, deleted)?,))
        },
    )?;
    types.func_wrap(
        HTTP_TYPES_0_3.item("[method]fields.get-and-delete"),
        |mut store: StoreContextMut<'_, T>,
         (this, name): (Resource<FieldMap>, String)|
         -> Headers<Vec<Vec<u8>>> {
            let deleted = ctx::http(store.data_mut()).get_and_delete(this, name.clone());
            Ok((told(store.data_mut(), &name, deleted)?,))
        },
    )
}

fn replace_parts<T: SockboxView>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap(
        HTTP_TYPES_0_3.item("[method]request.set-method"),
        |mut store: StoreContextMut<'_, T>, (this, method): (Resource<Request>, Method)| {
            let mut parts = parts(ctx::http(store.data_mut()).table, &this)?;
            let named = name_of(&method).to_owned();
            let set = ctx::http(store.data_mut()).set_method(this, method)?;
            if set.is_err() {
                parts.method = named;
                record(store.data_mut(), parts.refused(METHOD_INVALID));
            }
            Ok((set,))
        },
    )?;
    types.func_wrap(
        HTTP_TYPES_0_3.item("[method]request.set-scheme"),
        |mut store: StoreContextMut<'_, T>, (this, scheme): (Resource<Request>, Option<Scheme>)| {
            let mut parts = parts(ctx::http(store.data_mut()).table, &this)?;
            let named = scheme_of(scheme.as_ref()).to_owned();
            let set = ctx::http(store.data_mut()).set_scheme(this, scheme)?;
            if set.is_err() {
                parts.scheme = named;
                record(store.data_mut(), parts.refused(URI_INVALID));
            }
            Ok((set,))
        },
    )?;
    types.func_wrap(
        HTTP_TYPES_0_3.item("[method]request.set-authority"),
        |mut store: StoreContextMut<'_, T>,
         (this, authority): (Resource<Request>, Option<String>)| {
            let mut parts = parts(ctx::http(store.data_mut()).table, &this)?;
            let set = ctx::http(store.data_mut()).set_authority(this, authority.clone())?;
            if set.is_err() {
                parts.authority = authority.unwrap_or_default();
                record(store.data_mut(), parts.refused(URI_INVALID));
            }
            Ok((set,))
        },
    )?;
    types.func_wrap(
        HTTP_TYPES_0_3.item("[method]request.set-path-with-query"),
        |mut store: StoreContextMut<'_, T>, (this, path): (Resource<Request>, Option<String>)| {
            let mut parts = parts(ctx::http(store.data_mut()).table, &this)?;
            let set = ctx::http(store.data_mut()).set_path_with_query(this, path.clone())?;
            if set.is_err() {
                parts.path = path.unwrap_or_default();
                record(store.data_mut(), parts.refused(URI_INVALID));
            }
            Ok((set,))
        },
    )
}

/// The result of a change of headers as the component gets it, which is recorded if the header was refused.
fn told<T: SockboxView, R>(
    data: &mut T,
    name: &str,
    changed: Result<R, TrappableError<HeaderError>>,
) -> wasmtime::Result<Result<R, HeaderError>> {
    let error = match changed {
        Ok(value) => return Ok(Ok(value)),
        Err(error) => error.downcast()?,
    };
    let word = match error {
        HeaderError::Forbidden => FORBIDDEN,
        HeaderError::InvalidSyntax => INVALID_SYNTAX,
        HeaderError::SizeExceeded => SIZE_EXCEEDED,
        // The others are no matter of the header.
        _ => return Ok(Err(error)),
    };
    record(data, HttpRefused::header(name, word));
    Ok(Err(error))
}

fn parts(table: &ResourceTable, request: &Resource<Request>) -> wasmtime::Result<Parts> {
    let request = table.get(request)?;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Ok(Parts {
        method: request.method.as_str().to_owned(),
        scheme: text(request.scheme.as_ref().map(|it| it.as_str())),
        authority: text(request.authority.as_ref().map(|it| it.as_str())),
        path: text(request.path_with_query.as_ref().map(|it| it.as_str())),
    })
}

fn name_of(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    }
}

fn scheme_of(scheme: Option<&Scheme>) -> &str {
    match scheme {
        Some(Scheme::Http) => "http",
        Some(Scheme::Https) => "https",
        Some(Scheme::Other(name)) => name,
        None => "",
    }
}
