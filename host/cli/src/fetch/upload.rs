//! What is sent behind a request's head.

use super::counted::Counted;
use super::request::Template;
use crate::args::Fetch;
use crate::descriptors::Descriptor;
use crate::exit::Failure;
use crate::progress::Progress;
use sockbox::Body;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// What one request sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upload {
    Nothing,
    /// The data of `-d`.
    Data,
    File(PathBuf),
    /// Standard input, which can be read once.
    Stdin,
    /// Standard input was read.
    Gone,
}

impl Upload {
    pub fn of(file: Option<&Path>, template: &Template) -> Upload {
        match file {
            Some(file) if file == Path::new("-") => Upload::Stdin,
            Some(file) => Upload::File(file.to_owned()),
            None if template.data.is_some() => Upload::Data,
            None => Upload::Nothing,
        }
    }

    /// The method to ask with, unless another one was typed.
    pub fn method(&self, args: &Fetch) -> String {
        if let Some(method) = &args.request {
            return method.clone();
        }
        let method = match self {
            Upload::File(_) | Upload::Stdin | Upload::Gone => "PUT",
            Upload::Data => "POST",
            Upload::Nothing if args.head => "HEAD",
            Upload::Nothing => "GET",
        };
        method.to_owned()
    }

    /// Whether it can be sent once more.
    pub fn can_be_repeated(&self) -> bool {
        *self != Upload::Gone
    }

    /// The body, from its beginning. The bar is given its size, and made if there is one to be seen.
    pub async fn body(
        &mut self,
        template: &Template,
        bar: impl FnOnce(Option<u64>) -> Progress,
    ) -> Result<Body, Failure> {
        Ok(match self {
            Upload::Nothing => Body::empty(),
            Upload::Data => {
                let data = template.data.clone().unwrap_or_default();
                if template.chunked {
                    Body::reader(Cursor::new(data), None)
                } else {
                    Body::bytes(data)
                }
            }
            Upload::File(path) => {
                let failed = |source| Failure::Input {
                    name: path.display().to_string(),
                    source,
                };
                let file = tokio::fs::File::open(&*path).await.map_err(failed)?;
                let metadata = file.metadata().await.map_err(failed)?;
                if metadata.is_dir() {
                    return Err(failed(std::io::ErrorKind::IsADirectory.into()));
                }
                let length = metadata.is_file().then_some(metadata.len());
                let file = Counted::new(file, bar(length));
                Body::reader(file, length.filter(|_| !template.chunked))
            }
            Upload::Stdin => {
                let failed = |source| Failure::Input {
                    name: "standard input".to_owned(),
                    source,
                };
                Descriptor::Input.check().map_err(failed)?;
                *self = Upload::Gone;
                Body::reader(Counted::new(tokio::io::stdin(), bar(None)), None)
            }
            Upload::Gone => return Err(Failure::InputIsGone),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Bars;

    fn args(options: &str) -> Fetch {
        Fetch::typed(&format!("{options} http://a/"))
    }

    #[test]
    fn methods() {
        for (options, file, expected) in [
            ("", None, "GET"),
            ("-I", None, "HEAD"),
            ("-d x", None, "POST"),
            ("-d x -G", None, "GET"),
            ("-d x -G -I", None, "HEAD"),
            ("", Some("f"), "PUT"),
            ("", Some("-"), "PUT"),
            ("-X PATCH -d x", None, "PATCH"),
            ("-X post", None, "post"),
        ] {
            let args = args(options);
            let template = Template::new(&args).unwrap();
            let upload = Upload::of(file.map(Path::new), &template);
            assert_eq!(upload.method(&args), expected, "{options} {file:?}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn standard_input_is_sent_once() {
        let template = Template::new(&args("")).unwrap();
        let mut upload = Upload::of(Some(Path::new("-")), &template);
        assert!(upload.can_be_repeated());
        let bar = |size| Bars::new(false).transfer(true, "", 0, size);
        upload.body(&template, bar).await.unwrap();
        assert!(!upload.can_be_repeated());
        let again = upload.body(&template, bar).await.map(|_| ()).unwrap_err();
        assert_eq!(again.code(), 65);
        for path in ["/no/such/file", "/"] {
            let mut upload = Upload::of(Some(Path::new(path)), &template);
            let failure = upload.body(&template, bar).await.map(|_| ()).unwrap_err();
            assert_eq!(failure.code(), 26, "{path}");
        }
    }
}
