//! What a component may do and what it may not, with `sockbox run` and the commands about policies.

mod component;
mod denials;
mod denied_names;
mod ends;
mod grants;
mod hostile_text;
mod http;
mod http_connections;
mod http_hostile;
mod http_secrets;
mod inspect;
mod languages;
mod limits;
mod machine;
mod names;
mod policy;
mod private_loopback;
mod process;
mod prompt;
mod record;
mod record_apart;
mod run;
mod run_hostile;
mod run_loading;
mod run_tls;
mod standard_streams;
