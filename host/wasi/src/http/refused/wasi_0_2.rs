//! The functions of WASI 0.2.

use super::{FORBIDDEN, INVALID_SYNTAX, METHOD_INVALID, Parts, URI_INVALID, record, word};
use crate::ctx::{self, SockboxView};
use crate::replaced::{HTTP_OUTGOING, HTTP_TYPES};
use sockbox_policy::audit::HttpRefused;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceTable};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::{
    HeaderError, HostFields, HostOutgoingRequest as _, Method, Scheme,
};
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::{FieldMap, RequestOptions, p2};

type Headers<T> = wasmtime::Result<(Result<T, HeaderError>,)>;

/// Replace the functions that refuse something.
pub(crate) fn replace<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    replace_handle(&mut linker.instance(HTTP_OUTGOING.name())?)?;
    let mut types = linker.instance(HTTP_TYPES.name())?;
    replace_headers(&mut types)?;
    replace_parts(&mut types)
}

fn replace_handle<T: SockboxView>(handler: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    handler.func_wrap(
        HTTP_OUTGOING.item("handle"),
        |mut store: StoreContextMut<'_, T>,
         (request, options): (
            Resource<HostOutgoingRequest>,
            Option<Resource<RequestOptions>>,
        )| {
            let parts = parts(ctx::http(store.data_mut()).table, &request)?;
            let handled = ctx::http(store.data_mut()).handle(request, options);
            Ok((match handled {
                Ok(future) => Ok(future),
                Err(error) => {
                    // What `handle` passes to the hooks of this crate does not fail here.
                    let code = error.downcast()?;
                    let error = word(&code.clone().into());
                    record(store.data_mut(), parts.refused(error));
                    Err(code)
                }
            },))
        },
    )
}

fn replace_headers<T: SockboxView>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap(
        HTTP_TYPES.item("[static]fields.from-list"),
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
        HTTP_TYPES.item("[method]fields.set"),
        |mut store: StoreContextMut<'_, T>,
         (this, name, values): (Resource<FieldMap>, String, Vec<Vec<u8>>)|
         -> Headers<()> {
            let set = ctx::http(store.data_mut()).set(this, name.clone(), values);
            Ok((told(store.data_mut(), &name, set)?,))
        },
    )?;
    types.func_wrap(
        HTTP_TYPES.item("[method]fields.append"),
        |mut store: StoreContextMut<'_, T>,
         (this, name, value): (Resource<FieldMap>, String, Vec<u8>)|
         -> Headers<()> {
            let added = ctx::http(store.data_mut()).append(this, name.clone(), value);
            Ok((told(store.data_mut(), &name, added)?,))
        },
    )?;
    types.func_wrap(
        HTTP_TYPES.item("[method]fields.delete"),
        |mut store: StoreContextMut<'_, T>,
         (this, name): (Resource<FieldMap>, String)|
         -> Headers<()> {
            let deleted = ctx::http(store.data_mut()).delete(this, name.clone());
            Ok((told(store.data_mut(), &name, deleted)?,))
        },
    )
}

fn replace_parts<T: SockboxView>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap(
        HTTP_TYPES.item("[method]outgoing-request.set-method"),
        |mut store: StoreContextMut<'_, T>,
         (this, method): (Resource<HostOutgoingRequest>, Method)| {
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
        HTTP_TYPES.item("[method]outgoing-request.set-scheme"),
        |mut store: StoreContextMut<'_, T>,
         (this, scheme): (Resource<HostOutgoingRequest>, Option<Scheme>)| {
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
        HTTP_TYPES.item("[method]outgoing-request.set-authority"),
        |mut store: StoreContextMut<'_, T>,
         (this, authority): (Resource<HostOutgoingRequest>, Option<String>)| {
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
        HTTP_TYPES.item("[method]outgoing-request.set-path-with-query"),
        |mut store: StoreContextMut<'_, T>,
         (this, path): (Resource<HostOutgoingRequest>, Option<String>)| {
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
fn told<T: SockboxView>(
    data: &mut T,
    name: &str,
    changed: Result<(), p2::HeaderError>,
) -> wasmtime::Result<Result<(), HeaderError>> {
    let error = match changed {
        Ok(()) => return Ok(Ok(())),
        Err(error) => error.downcast()?,
    };
    let word = match error {
        HeaderError::Forbidden => FORBIDDEN,
        HeaderError::InvalidSyntax => INVALID_SYNTAX,
        // That is no matter of the header.
        HeaderError::Immutable => return Ok(Err(error)),
    };
    record(data, HttpRefused::header(name, word));
    Ok(Err(error))
}

fn parts(
    table: &ResourceTable,
    request: &Resource<HostOutgoingRequest>,
) -> wasmtime::Result<Parts> {
    let request = table.get(request)?;
    Ok(Parts {
        method: name_of(&request.method).to_owned(),
        scheme: scheme_of(request.scheme.as_ref()).to_owned(),
        authority: request.authority.clone().unwrap_or_default(),
        path: request.path_with_query.clone().unwrap_or_default(),
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
