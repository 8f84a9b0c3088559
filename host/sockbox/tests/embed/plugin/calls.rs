//! Calls without bindings: names, values and their types.

use super::{FUNCTIONS, functions};
use sockbox::{Error, Sandbox, Value};

#[tokio::test]
async fn a_function_is_found_by_all_or_part_of_its_name() {
    let plugin = functions();
    let listed = [
        "count",
        "example:one/text@1.2.0/again",
        "example:one/text@1.2.0/same",
        "example:two/other@1.0.0/only",
        "example:two/other@1.0.0/same",
        "grow",
        "same",
        "spin",
        "trap",
    ];
    let mut functions = plugin.functions();
    functions.sort();
    assert_eq!(functions, listed);

    let argument = ["text".into()];
    for name in [
        "same",
        "text/same",
        "example:one/text/same",
        "example:one/text@1.2.0/same",
        "example:one/text@1.2.0#same",
        "again",
    ] {
        let result = plugin.call(name, &argument).await.unwrap();
        assert_eq!(result, Some("text".into()), "{name}");
    }
    for name in [
        "",
        "missing",
        "text/missing",
        "text/count",
        "other/again",
        "example:one/text@1.0.0/same",
        "one/text/same",
        "memory",
    ] {
        let error = plugin.call(name, &argument).await.unwrap_err();
        let Error::NoSuchFunction {
            name: asked,
            exports,
        } = &error
        else {
            panic!("{name}: {error:?}");
        };
        assert_eq!((asked.as_str(), exports.len()), (name, listed.len()));
        let text = error.to_string();
        let expected = format!(
            "`{name}` is not the name of exactly one exported function: the component exports "
        );
        assert!(text.starts_with(&expected), "{text}");
        assert!(text.contains("`example:two/other@1.0.0/only`"), "{text}");
    }
}

#[tokio::test]
async fn a_name_that_means_several_functions_is_refused() {
    // Without the function `same` at the top.
    let text = FUNCTIONS.replace(
        r#"(export "same" (func $same))
        (export "count""#,
        r#"(export "count""#,
    );
    assert_ne!(text, FUNCTIONS);
    let plugin = Sandbox::new().unwrap().plugin_bytes(text).unwrap();
    let error = plugin.call("same", &["a".into()]).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchFunction { .. }), "{error:?}");
    let result = plugin.call("other/same", &["a".into()]).await.unwrap();
    assert_eq!(result, Some("a".into()));
}

#[tokio::test]
async fn arguments_of_the_wrong_type_are_refused_before_the_call() {
    let mut instance = functions().instance().await.unwrap();
    let values: [(&[Value], &str); 4] = [
        (&[], "there are 0, and it has 1 parameters"),
        (
            &["a".into(), "b".into()],
            "there are 2, and it has 1 parameters",
        ),
        (&[1_u32.into()], "`text`: expected string, found u32"),
        (
            &[Value::Enum("a".to_owned())],
            "`text`: expected string, found enum",
        ),
    ];
    for (arguments, expected) in values {
        let error = instance.call("same", arguments).await.unwrap_err();
        let Error::InvalidArguments { function, problem } = &error else {
            panic!("{error:?}");
        };
        assert_eq!((function.as_str(), problem.as_str()), ("same", expected));
        assert!(instance.is_usable(), "nothing was called");
    }
    let result = instance.call("same", &["a".into()]).await.unwrap();
    assert_eq!(result, Some("a".into()));
}

/// A component whose `same` gives back its argument, a list of this type.
fn same(declared: &str, ty: &str) -> String {
    let memory_and_code = FUNCTIONS.split("(core instance $core").next().unwrap();
    format!(
        r#"{memory_and_code}
            (core instance $core (instantiate $module))
            (alias core export $core "memory" (core memory $memory))
            (alias core export $core "realloc" (core func $realloc))
            {declared}
            (func (export "same") (param "list" (list {ty})) (result (list {ty}))
                (canon lift (core func $core "same") (memory $memory) (realloc $realloc))))"#
    )
}

#[tokio::test]
async fn values_of_every_type_arrive_and_come_back() {
    let sandbox = Sandbox::new().unwrap();
    let none: Option<u8> = None;
    let boxed = |value: Value| Some(Box::new(value));
    let record = r#"
        (type $record (record (field "a" u8) (field "b" (list string))))
        (export $exported "record" (type $record))"#;
    let variant = r#"
        (type $variant (variant (case "empty") (case "full" u16)))
        (export $exported "variant" (type $variant))"#;
    let cases = r#"(type $enum (enum "red" "green")) (export $exported "enum" (type $enum))"#;
    let flags = r#"(type $flags (flags "r" "w" "x")) (export $exported "flags" (type $flags))"#;
    let rows: Vec<(&str, &str, Vec<Value>)> = vec![
        ("", "bool", vec![true.into(), false.into()]),
        ("", "s8", vec![i8::MIN.into()]),
        ("", "u8", vec![u8::MAX.into()]),
        ("", "s16", vec![i16::MIN.into()]),
        ("", "u16", vec![u16::MAX.into()]),
        ("", "s32", vec![i32::MIN.into()]),
        ("", "u32", vec![u32::MAX.into()]),
        ("", "s64", vec![i64::MIN.into()]),
        ("", "u64", vec![u64::MAX.into()]),
        ("", "f32", vec![1.5_f32.into()]),
        ("", "f64", vec![(-0.1_f64).into()]),
        ("", "char", vec!['\u{10ffff}'.into()]),
        ("", "string", vec!["\u{e4}\0".into(), "".into()]),
        ("", "(list u8)", vec![vec![1_u8, 2].into()]),
        (
            "",
            "(tuple u8 string)",
            vec![Value::Tuple(vec![1_u8.into(), "b".into()])],
        ),
        ("", "(option u8)", vec![Some(1_u8).into(), none.into()]),
        (
            "",
            "(result u8 (error string))",
            vec![
                Value::Result(Ok(boxed(1_u8.into()))),
                Value::Result(Err(boxed("no".into()))),
            ],
        ),
        (
            "",
            "(result)",
            vec![Value::Result(Ok(None)), Value::Result(Err(None))],
        ),
        (
            record,
            "$exported",
            vec![Value::record([
                ("a", 1_u8.into()),
                ("b", vec!["x", "y"].into()),
            ])],
        ),
        (
            variant,
            "$exported",
            vec![
                Value::Variant("empty".to_owned(), None),
                Value::Variant("full".to_owned(), boxed(7_u16.into())),
            ],
        ),
        (
            cases,
            "$exported",
            vec![
                Value::Enum("green".to_owned()),
                Value::Enum("red".to_owned()),
            ],
        ),
        (
            flags,
            "$exported",
            vec![
                Value::Flags(vec!["r".to_owned(), "x".to_owned()]),
                Value::Flags(Vec::new()),
            ],
        ),
    ];
    for (declared, ty, values) in rows {
        let plugin = sandbox.plugin_bytes(same(declared, ty));
        let plugin = plugin.unwrap_or_else(|error| panic!("{ty}: {error}"));
        let list = Value::List(values);
        let result = plugin.call("same", std::slice::from_ref(&list)).await;
        assert_eq!(result.unwrap(), Some(list), "{ty}");
    }
}

#[tokio::test]
async fn what_is_wrong_inside_a_value_is_named() {
    let sandbox = Sandbox::new().unwrap();
    let declared = r#"
        (type $kind (variant (case "empty") (case "full" u16)))
        (export $exported-kind "kind" (type $kind))
        (type $colour (enum "red" "green")) (export $exported-colour "colour" (type $colour))
        (type $mode (flags "r" "w")) (export $exported-mode "mode" (type $mode))
        (type $record (record
            (field "kind" $exported-kind)
            (field "colours" (list $exported-colour))
            (field "mode" $exported-mode)
            (field "pair" (tuple u8 (option string)))))
        (export $exported "record" (type $record))"#;
    let plugin = sandbox.plugin_bytes(same(declared, "$exported")).unwrap();
    let mut instance = plugin.instance().await.unwrap();
    let good = || {
        vec![
            ("kind", Value::Variant("empty".to_owned(), None)),
            ("colours", Value::List(vec![Value::Enum("red".to_owned())])),
            ("mode", Value::Flags(Vec::new())),
            ("pair", Value::Tuple(vec![1_u8.into(), Some("a").into()])),
        ]
    };
    let full = |value: Option<Value>| Value::Variant("full".to_owned(), value.map(Box::new));
    let rows: Vec<(Option<(&str, Value)>, &str)> = vec![
        (None, ""),
        (
            Some(("kind", Value::Variant("other".to_owned(), None))),
            "`list[0].kind`: there is no case `other`",
        ),
        (
            Some(("kind", full(None))),
            "`list[0].kind`: the case `full` needs a value",
        ),
        (
            Some(("kind", full(Some("a".into())))),
            "`list[0].kind.full`: expected u16, found string",
        ),
        (
            Some((
                "colours",
                Value::List(vec![
                    Value::Enum("red".to_owned()),
                    Value::Enum("blue".to_owned()),
                ]),
            )),
            "`list[0].colours[1]`: there is no case `blue`",
        ),
        (
            Some(("mode", Value::Flags(vec!["x".to_owned()]))),
            "`list[0].mode`: there is no flag `x`",
        ),
        (
            Some(("pair", Value::Tuple(vec![1_u8.into()]))),
            "`list[0].pair`: it has 1 elements, not 2",
        ),
        (
            Some(("pair", Value::Tuple(vec![1_u8.into(), Some(1_u8).into()]))),
            "`list[0].pair[1].some`: expected string, found u8",
        ),
        (
            Some(("more", true.into())),
            "`list[0]`: there is no field `more`",
        ),
        (
            Some(("remove", true.into())),
            "`list[0]`: it lacks the field `kind`",
        ),
        (
            Some(("twice", true.into())),
            "`list[0]`: a field is given twice",
        ),
    ];
    for (change, expected) in rows {
        let mut fields = good();
        match change {
            Some(("remove", _)) => drop(fields.remove(0)),
            Some(("twice", _)) => fields.push(fields[2].clone()),
            Some((name, value)) => match fields.iter_mut().find(|(own, _)| *own == name) {
                Some(field) => field.1 = value,
                None => fields.push((name, value)),
            },
            None => {}
        }
        let list = Value::List(vec![Value::record(fields)]);
        match instance.call("same", &[list]).await {
            Ok(_) => assert_eq!(expected, ""),
            Err(Error::InvalidArguments { problem, .. }) => assert_eq!(problem, expected),
            Err(error) => panic!("{expected}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn resources_need_bindings() {
    let text = r#"
        (component
            (type $thing (resource (rep i32)))
            (export $exported "thing" (type $thing))
            (core func $new (canon resource.new $thing))
            (core module $module
                (import "" "new" (func $new (param i32) (result i32)))
                (func (export "make") (result i32) (call $new (i32.const 1)))
                (func (export "take") (param i32)))
            (core instance $core (instantiate $module
                (with "" (instance (export "new" (func $new))))))
            (func (export "make") (result (own $exported)) (canon lift (core func $core "make")))
            (func (export "take") (param "thing" (borrow $exported))
                (canon lift (core func $core "take"))))
    "#;
    let plugin = Sandbox::new().unwrap().plugin_bytes(text).unwrap();
    let mut instance = plugin.instance().await.unwrap();
    let error = instance.call("take", &[1_u32.into()]).await.unwrap_err();
    let expected = "the arguments of `take` are wrong: `thing`: it is a resource, which only bindings can pass";
    assert_eq!(error.to_string(), expected);
    assert!(instance.is_usable());
    let error = instance.call("make", &[]).await.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::NoValue {
                kind: "resource",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!instance.is_usable(), "the resource would stay in it");
}

#[tokio::test]
async fn what_is_no_component_is_named() {
    let sandbox = Sandbox::new().unwrap();
    for (text, expected) in [
        ("(module)", "it is a core module"),
        ("hello", "it is not WebAssembly"),
        (
            "(component (core module (memory 1 1 shared)))",
            "it uses `threads`, a proposal of WebAssembly that sockbox does not enable",
        ),
    ] {
        let error = sandbox.plugin_bytes(text).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{text}: {error}");
        let loaded = sandbox.load_plugin("a.wat", text).await;
        assert!(matches!(loaded, Err(Error::NotRunnable { .. })), "{text}");
    }
    let error = sandbox.plugin_file("missing.wasm").unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error:?}");
    // It exports nothing, which is no error until something is called.
    let error = sandbox
        .plugin_bytes("(component)")
        .unwrap()
        .call("a", &[])
        .await
        .unwrap_err();
    let expected =
        "`a` is not the name of exactly one exported function: the component exports no function";
    assert_eq!(error.to_string(), expected);
}
