//! Links the shared library that `ATLAS_LIBRARY_DIR` names, and the peers that `ATLAS_PEERS_DIR` has. Translates the
//! declarations of the C header for sys.rs.

const HEADER: &str = "../include/atlas_manifold.h";

/// Without it there is nothing to link, but `cargo check` needs no library.
fn folder(name: &str, what: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    let folder = std::env::var(name).ok();
    if folder.is_none() {
        println!("cargo::warning={name} names the folder of {what}: without it this does not link");
    }
    folder
}

fn main() {
    println!("cargo::rerun-if-changed={HEADER}");
    let header = std::fs::read_to_string(HEADER).expect("the header can be read");
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    std::fs::write(out + "/declarations.rs", declarations(&header))
        .expect("the output folder can be written");
    if let Some(dir) = folder("ATLAS_LIBRARY_DIR", "the library") {
        println!("cargo::rustc-link-search=native={dir}");
        println!("cargo::rustc-link-lib=dylib=atlas_manifold");
        println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}");
    }
    #[cfg(feature = "peers")]
    if let Some(dir) = folder("ATLAS_PEERS_DIR", "the peers") {
        peers(&dir);
    }
}

#[cfg(feature = "peers")]
fn peers(dir: &str) {
    let blosc = format!("{dir}/blosc2/blosc2");
    println!("cargo::rerun-if-changed=src/peers/shim.c");
    cc::Build::new().file("src/peers/shim.c").include(format!("{blosc}/include")).std("c17").compile("shim");
    println!("cargo::rustc-link-search=native={blosc}/lib");
    for library in ["blosc2", "isal"] {
        println!("cargo::rustc-link-lib=dylib={library}");
    }
    println!("cargo::rustc-link-arg=-Wl,-rpath,{blosc}/lib");
}

/// Translates the structs, the callbacks and the functions of the header. cbindgen writes each of them in one form
/// only, so that a few splits parse it; any other declaration ends the build.
fn declarations(header: &str) -> String {
    let mut rust = String::new();
    for statement in statements(header) {
        let after = |start| statement.strip_prefix(start);
        rust += &if let Some(function) = after("ATLAS_API ") {
            let (head, parameters) = halves(function, "(");
            let (name, result) = variable(head, false);
            format!("unsafe extern \"C\" {{ pub fn {name}({}) -> {result}; }}\n", parameter_list(parameters))
        } else if after("typedef enum ").is_some() {
            // Functions and structs have integers in place of enumerations.
            String::new()
        } else if let (Some(callback), true) = (after("typedef "), statement.contains("(*")) {
            let (result, rest) = halves(callback, "(*");
            let (name, parameters) = halves(rest, ")(");
            let (name, list) = (camel_case(name), parameter_list(parameters));
            let (_, result) = variable(&format!("{result} result"), false);
            format!("pub type {name} = Option<unsafe extern \"C\" fn({list}) -> {result}>;\n")
        } else if let (Some(structure), true) = (after("typedef struct "), statement.contains('{')) {
            let (name, fields) = halves(structure, " {");
            let fields = halves(fields, "}").0.split(';').filter(|field| !field.trim().is_empty());
            let fields: Vec<_> = fields.map(|field| variable(field, true)).collect();
            let fields: String = fields.iter().map(|(name, kind)| format!("pub {name}: {kind}, ")).collect();
            format!("#[repr(C)] #[derive(Clone, Copy)] pub struct {} {{ {fields} }}\n", camel_case(name))
        } else if let Some(handle) = after("typedef struct ") {
            format!("pub enum {} {{}}\n", camel_case(halves(handle, " ").0))
        } else {
            panic!("{HEADER}: a declaration in an unknown form: {statement}")
        };
    }
    rust
}

/// Declarations of the header, one string each, without comments and directives.
fn statements(header: &str) -> Vec<String> {
    let text: String =
        header.split("*/").map(|part| halves(&format!("{part}/*"), "/*").0.to_owned()).collect();
    let text = text.replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.contains("extern \"C\""));
    let mut all = vec![String::new()];
    for line in lines {
        let last = all.last_mut().expect("one string at least");
        *last = format!("{last} {}", line.trim()).trim().to_owned();
        // The fields of a struct and the values of an enumeration are a part of it.
        if last.ends_with(';') && last.matches('{').count() == last.matches('}').count() {
            last.pop();
            all.push(String::new());
        }
    }
    all.retain(|statement| !statement.is_empty());
    all
}

fn halves<'a>(text: &'a str, mark: &str) -> (&'a str, &'a str) {
    text.split_once(mark).unwrap_or_else(|| panic!("{HEADER}: `{text}` lacks `{mark}`"))
}

fn parameter_list(text: &str) -> String {
    let text = text.trim_end_matches(')');
    let all = text.split(',').filter(|parameter| *parameter != "void");
    let all: Vec<_> = all.map(|parameter| variable(parameter, false)).collect();
    all.iter().map(|(name, kind)| format!("{name}: {kind}, ")).collect()
}

/// Returns the name and the type of a field, a parameter, or a function with its result.
fn variable(text: &str, is_field: bool) -> (String, String) {
    let (text, length) = match text.split_once('[') {
        Some((text, length)) => (text, Some(length.trim_end_matches(']'))),
        None => (text, None),
    };
    let text = text.replace('*', " * ");
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let name = words.pop().expect("a name");
    // A parameter that is an array is a pointer.
    words.extend(length.filter(|_| !is_field).map(|_| "*"));
    let (mut kind, mut is_const) = (String::new(), false);
    for word in words {
        match word {
            "const" => is_const = true,
            "struct" | "enum" => {}
            "*" => {
                kind = format!("*{} {kind}", if is_const { "const" } else { "mut" });
                is_const = false;
            }
            // The only enumeration of which values are returned.
            "atlas_status" => kind = "c_int".into(),
            "void" => kind = "c_void".into(),
            "char" | "int" => kind = format!("c_{word}"),
            "double" => kind = "f64".into(),
            "bool" => kind = "bool".into(),
            "size_t" => kind = "usize".into(),
            _ if word.starts_with("atlas_") => kind = camel_case(word),
            _ => kind = word.replace("uint", "u").replace("int", "i").trim_end_matches("_t").into(),
        }
    }
    if kind == "c_void" {
        kind = "()".into();
    }
    match length {
        Some(length) if is_field => kind = format!("[{kind}; {length}]"),
        _ => {}
    }
    (if name == "type" { "r#type".into() } else { name.into() }, kind)
}

/// `atlas_stream_config` becomes `StreamConfig`.
fn camel_case(name: &str) -> String {
    let words = name.trim_start_matches("atlas_").split('_');
    words.map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}
