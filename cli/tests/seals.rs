//! Seals, and files that no longer fit them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;
mod schema;

use common::{Place, bytes};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

/// A sealed file of 3 MiB and a bit, `a`, with a copy.
fn sealed() -> (Place, Vec<u8>) {
    let place = Place::new();
    let data = bytes(3 * MIB + 12_345);
    place.write("a", &data);
    place.write("copy", &data);
    place.line("seal --parity 10% a").expect(0);
    (place, data)
}

/// The single object of `--json`.
fn object(place: &Place, line: &str, code: i32) -> Value {
    place.line(&format!("{line} --json")).expect(code).json().remove(0)
}

/// Files with an outline of their bytes, beside a parity file of the bytes before.
fn with_stale_parity(new: &[u8]) -> Place {
    let (place, _) = sealed();
    let old = place.read("a.atp");
    place.write("a", new);
    fs::remove_file(place.path("a.atlas")).unwrap();
    fs::remove_file(place.path("a.atp")).unwrap();
    place.line("seal a").expect(0);
    place.write("a.atp", old);
    place
}

/// Other bytes than those of `data`: one replaced, and lengths that are smaller and larger.
fn changes(data: &[u8]) -> [Vec<u8>; 5] {
    let mut replaced = data.to_vec();
    replaced[MIB] ^= 1;
    [
        replaced,
        [data, b"ab"].concat(),
        [data, &bytes(500_000)].concat(),
        data[..data.len() - 500_000].to_vec(),
        Vec::new(),
    ]
}

#[test]
fn a_parity_file_of_other_bytes_is_no_parity() {
    for new in changes(&bytes(3 * MIB + 12_345)) {
        let place = with_stale_parity(&new);
        let ran = place.line("verify --parity-too a").expect(1);
        assert!(ran.text().contains("a.atp was made of other bytes"), "{}", ran.text());
        assert_eq!(object(&place, "verify --parity-too a", 1)["parity"]["other_bytes"], true);
        // Damage elsewhere is not repaired from it, and the file stays as it is.
        if new.len() > 2 * MIB {
            place.damage("a", 2 * MIB + 5);
            let before = place.read("a");
            let object = object(&place, "verify a", 1);
            assert_eq!(object["parity"]["repairable"], false, "{object}");
            assert!(object["advice"].as_str().unwrap().contains("--from COPY"), "{object}");
            place.line("repair -n a").expect(1);
            place.line("repair --partial a").expect(1);
            let ran = place.line("repair a").expect(1);
            assert!(ran.stderr.contains("a.atp was made of other bytes than a.atlas"), "{}", ran.stderr);
            assert_eq!(place.names(), ["a", "a.atlas", "a.atp", "copy"]);
            assert_eq!(place.read("a"), before);
            place.write("a", &new);
        }
        // Both make it anew.
        let old = place.read("a.atp");
        for line in ["update a", "repair --parity-too a"] {
            place.write("a.atp", &old);
            place.line(line).expect(0);
            place.line("verify --parity-too a").expect(0);
        }
    }
}

#[test]
fn damage_where_the_parity_differs_is_not_repaired_to_other_bytes() {
    let data = bytes(3 * MIB + 12_345);
    let [replaced, ..] = changes(&data);
    let place = with_stale_parity(&replaced);
    // Outline and parity both find damage here, and agree in nothing else.
    place.damage("a", MIB + 7);
    let before = place.read("a");
    let ran = place.line("repair a").expect(1);
    assert!(ran.stderr.contains("a.atp was made of other bytes than a.atlas"), "{}", ran.stderr);
    assert_eq!(place.read("a"), before);
}

#[test]
fn sealing_leaves_no_parity_of_other_bytes() {
    let (place, data) = sealed();
    // Of the same bytes: it stays.
    fs::remove_file(place.path("a.atlas")).unwrap();
    place.line("seal a").expect(0);
    place.line("verify --parity-too a").expect(0);
    for new in changes(&data) {
        place.write("a", &data);
        place.line("seal -f --parity 10% copy").expect(0);
        fs::rename(place.path("copy.atp"), place.path("a.atp")).unwrap();
        place.write("a", &new);
        fs::remove_file(place.path("a.atlas")).unwrap();
        let ran = place.line("seal a").expect(8);
        assert!(ran.stderr.contains("a.atp exists, and was made of other bytes"), "{}", ran.stderr);
        assert!(!place.path("a.atlas").exists() && place.path("a.atp").exists());
        let object = object(&place, "seal -f a", 0);
        assert_eq!(object["removed"], "a.atp");
        assert!(!place.path("a.atp").exists());
        place.line("verify --parity-too a").expect(0);
    }
    // The advice on a changed file brings both seals up to date.
    place.line("seal -f --parity 10% a").expect(0);
    place.write("a", &data);
    let ran = place.line("seal -f --parity 10% a").expect(1);
    assert!(ran.stderr.contains("atlasm update a"), "{}", ran.stderr);
    place.line("update a").expect(0);
    place.line("verify --parity-too a").expect(0);
    assert_eq!(json!(place.read("a").len()), data.len());
}

/// A sealed file of 8 MiB with damage at 1 MiB, and a line that verifies 3 MiB or so of it a run.
fn slow() -> (Place, &'static str) {
    let place = Place::new();
    place.write("big", bytes(8 * MIB));
    place.line("seal --parity 10% big").expect(0);
    place.damage("big", MIB + 5);
    (place, "verify --json --rate 4M --max-time 0.9s --resume STATE big")
}

#[test]
fn damage_that_an_earlier_run_found_is_not_forgotten() {
    let (place, line) = slow();
    let mut runs = 0;
    loop {
        runs += 1;
        let ran = place.line(line);
        let object = ran.json().remove(0);
        assert_eq!(
            (&object["result"], &object["bad_bytes"]),
            (&json!("damaged"), &json!(16_384)),
            "{object}"
        );
        let is_whole = object["verified_to"].as_u64().is_none_or(|to| to == 8 * MIB as u64);
        assert!(runs < 20);
        // There is no time for the parity file, which is not to say that it is of no use.
        assert!(object["advice"].as_str().unwrap().contains("says whether it can be repaired"), "{object}");
        ran.expect(1);
        if is_whole {
            break;
        }
    }
    assert!(runs > 1);
    // The next pass begins with it, whatever it comes to.
    let object = place.line(line).json().remove(0);
    assert_eq!(object["result"], "damaged", "{object}");
    // A run that has no time for the file says so too.
    let ran = place.line("verify --json --max-time 0s --resume STATE big").expect(1);
    let object = ran.json().remove(0);
    assert_eq!((&object["result"], &object["bad_bytes"]), (&json!("damaged"), &json!(16_384)), "{object}");
    assert!(
        place.line("verify --max-time 0s --resume STATE big").expect(1).text().contains("by an earlier run")
    );
    // A whole search that finds it good ends that.
    place.line("repair big").expect(0);
    place.line("verify --resume STATE big").expect(0);
    place.line("verify --max-time 0s --resume STATE big").expect(0);
}

#[test]
fn a_file_that_was_repaired_between_two_runs_is_searched_again() {
    let (place, line) = slow();
    place.line(line).expect(1);
    place.line("repair --discard big").expect(0);
    let object = place.line("verify --json --resume STATE big").expect(0).json().remove(0);
    assert_eq!((&object["result"], &object["damage"]), (&json!("intact"), &json!([])));
    assert!(object["verified_from"].as_u64().unwrap() > MIB as u64, "{object}");
    // A state of an earlier version has no damage.
    place.write("STATE", r#"{"atlasm_verified_ns":{},"unfinished":{}}"#);
    place.line(line).expect(0);
    place.write("STATE", r#"{"atlasm_verified_ns":{},"damaged":{"x":{"root":"","ranges":[]}}}"#);
    place.line(line).expect(6);
}

#[test]
fn the_end_of_the_time_ends_a_slow_run() {
    let place = Place::new();
    place.write("big", bytes(8 * MIB));
    place.line("seal big").expect(0);
    for rate in ["1", "50", "1k"] {
        for (state, code) in [("", 4), ("--resume STATE", 0)] {
            let start = Instant::now();
            let ran = place.line(&format!("verify --rate {rate} --max-time 0.3s {state} big")).expect(code);
            assert!(start.elapsed() < Duration::from_secs(3), "{rate}: {:?}", start.elapsed());
            assert!(ran.text().starts_with("big: unfinished"), "{}", ran.text());
        }
    }
    assert!(place.line("verify --rate 0 big").expect(2).stderr.contains("at least 1 byte a second"));
}

#[test]
fn an_outline_is_not_rolled_back() {
    let (place, _) = sealed();
    place.damage("a", 5);
    place.line("update a").expect(0);
    let before = place.read("a.atlas");
    for line in ["rollback a.atlas", "rollback a.atlas 1", "rollback -n a.atlas", "delete a.atlas 0+1"] {
        let ran = place.line(line).expect(2);
        assert!(ran.stderr.contains("atlasm update a then brings"), "{}", ran.stderr);
    }
    assert_eq!(place.read("a.atlas"), before);
    place.line("verify --parity-too a").expect(0);
}

#[test]
fn a_range_is_verified_against_the_outline_of_the_whole_file() {
    let (place, data) = sealed();
    let line = "verify --range 1MiB..2MiB --outline a.atlas a";
    assert_eq!(place.line(line).expect(0).text(), "a: intact, 1 MiB\n");
    let part = object(&place, line, 0);
    assert_eq!((&part["verified_from"], &part["verified_to"]), (&json!(MIB), &json!(2 * MIB)));
    // Damage outside of the range does not count, damage inside does.
    place.damage("a", 5);
    place.damage("a", 2 * MIB);
    place.line(line).expect(0);
    place.line("verify --range 0+0 --outline a.atlas a").expect(0);
    place.line("verify --range -12345.. --outline a.atlas a").expect(0);
    place.damage("a", 2 * MIB - 1);
    let part = object(&place, line, 1);
    assert_eq!(part["damage"], json!([{ "kind": "differs", "offset": 2 * MIB - 16_384, "length": 16_384 }]));
    assert!(part["advice"].as_str().unwrap().contains("atlasm verify a says"), "{part}");
    // A file that has grown or was cut.
    place.write("a", [&data[..], b"more"].concat());
    place.line(line).expect(0);
    place.write("a", &data[..2 * MIB]);
    place.line(line).expect(0);
}

#[test]
fn a_repair_takes_no_outline_by_its_size() {
    let place = Place::new();
    place.write("notes.txt", "buy milk now");
    place.line("seal --parity 10% notes.txt").expect(0);
    fs::remove_file(place.path("notes.txt")).unwrap();
    place.write("todo.txt", "todo list!!\n");
    let ran = place.line("verify todo.txt").expect(3);
    assert!(
        ran.stderr.contains("notes.txt.atlas was made of a file that is called notes.txt"),
        "{}",
        ran.stderr
    );
    assert!(ran.text().contains("atlasm repair --outline notes.txt.atlas todo.txt"), "{}", ran.text());
    for line in
        ["repair todo.txt", "repair -n todo.txt", "repair --from notes.txt.atp todo.txt", "update todo.txt"]
    {
        let ran = place.line(line).expect(4);
        assert!(ran.stderr.contains("--outline"), "{line}: {}", ran.stderr);
    }
    assert_eq!(place.names(), ["notes.txt.atlas", "notes.txt.atp", "todo.txt"]);
    assert_eq!(place.read("todo.txt"), b"todo list!!\n");
    // The one that is named is taken, and the other name said.
    let ran = place.line("repair --outline notes.txt.atlas todo.txt").expect(0);
    assert!(ran.stderr.contains("is called notes.txt"), "{}", ran.stderr);
    assert_eq!(place.read("todo.txt"), b"buy milk now");
}

#[test]
fn seals_of_another_file_say_its_name() {
    let (place, _) = sealed();
    place.write("b", bytes(9));
    fs::rename(place.path("a.atlas"), place.path("b.atlas")).unwrap();
    let text = place.line("verify b").expect(1).text();
    assert!(text.ends_with("  b.atlas was made of a file that is called a\n"), "{text}");
    // A note of the user's is no name.
    place.line("seal --note x copy").expect(0);
    fs::rename(place.path("copy.atlas"), place.path("b.atlas")).unwrap();
    assert!(!place.line("verify b").expect(1).text().contains("is called"));
}

#[test]
fn seals_in_another_folder_keep_the_subfolders() {
    let place = Place::new();
    fs::create_dir_all(place.path("d/sub dir")).unwrap();
    fs::create_dir(place.path("seals")).unwrap();
    for (name, text) in [("d/x", "above"), ("d/sub dir/x", "below"), ("d/y", "y")] {
        place.write(name, text);
    }
    place.line("seal -r --parity 10% -o seals d").expect(0);
    assert!(place.path("seals/x.atlas").exists() && place.path("seals/sub dir/x.atp").exists());
    let line = "verify -r --outline seals --parity seals d";
    assert_eq!(place.line(line).expect(0).text().lines().count(), 3);
    // The advice finds the seals again.
    place.write("d/sub dir/x", "BELOW");
    let text = place.line(line).expect(3).text();
    let advice = text.lines().find_map(|line| line.split_once(": atlasm ")).unwrap().1;
    let words = |line: &str| -> Vec<String> {
        let quoted = line.split('\'').enumerate();
        let parts = quoted.flat_map(|(at, part)| {
            let whole = if at % 2 == 1 { vec![part] } else { part.split_whitespace().collect() };
            whole.into_iter().map(str::to_owned).collect::<Vec<_>>()
        });
        parts.collect()
    };
    place.run(words(advice)).expect(0);
    assert_eq!(place.read("d/sub dir/x"), b"below");
    place.line(line).expect(0);
    // The folder alone leads there too, and not to the file of this name above.
    place.write("d/sub dir/x", "BELOW");
    place.run(["repair", "--discard", "--outline", "seals", "d/sub dir/x"]).expect(0);
    assert_eq!(place.read("d/sub dir/x"), b"below");
    // From inside of the folder.
    let mut command = place.command(["verify", "-r", "--outline", "../seals", "."]);
    assert!(command.current_dir(place.path("d")).status().unwrap().success());
}

#[test]
fn a_sealed_file_that_is_gone_is_missing() {
    let place = Place::new();
    fs::create_dir_all(place.path("d/e")).unwrap();
    fs::create_dir(place.path("seals")).unwrap();
    for name in ["d/a", "d/b", "d/e/c", "d/empty"] {
        place.write(name, if name == "d/empty" { "" } else { name });
    }
    place.line("seal -r d").expect(0);
    place.line("seal -r --parity 10% -o seals d").expect(0);
    // A container and the outline of a range have no file beside them.
    place.line("pack d/a -o d/packed.atlas").expect(0);
    place.line("seal --range .. d/a -o d/part.atlas").expect(0);
    place.write("d/other.atlas", "no container");
    place.line("verify -r d").expect(0);
    let elsewhere = "verify -r --outline seals --parity seals d";
    place.line(elsewhere).expect(0);
    for name in ["d/b", "d/empty"] {
        fs::remove_file(place.path(name)).unwrap();
    }
    fs::rename(place.path("d/e/c"), place.path("d/e/renamed")).unwrap();
    for line in ["verify -r d", elsewhere] {
        let objects = place.line(&format!("{line} --json")).expect(4).json();
        let missing: Vec<&str> = objects
            .iter()
            .filter(|object| object["result"] == "missing" && object["status"] == 4)
            .map(|object| object["path"].as_str().unwrap())
            .collect();
        assert_eq!(missing, ["d/b", "d/e/c", "d/empty"], "{line}");
        assert_eq!(objects.len(), 4, "{line}");
    }
    let text = place.line("verify -r d").expect(4).text();
    assert!(text.contains("d/b: missing, 3 B\n  d/b.atlas is here; if the file was renamed"), "{text}");
    // A parity file alone misses its file too, and nothing else has to be there.
    fs::create_dir(place.path("p")).unwrap();
    fs::copy(place.path("seals/b.atp"), place.path("p/b.atp")).unwrap();
    assert!(place.line("verify -r p").expect(4).text().starts_with("p/b: missing\n"));
}

/// An outline with damage of its own, of which the bytes between records are not read.
fn damaged_outlines(outline: &[u8]) -> Vec<Vec<u8>> {
    let places = (0..outline.len()).step_by(1_501).map(|at| {
        let mut damaged = outline.to_vec();
        let end = (at + 10).min(damaged.len());
        damaged[at..end].iter_mut().for_each(|byte| *byte ^= 0x55);
        damaged
    });
    places.chain([outline[..outline.len() / 2].to_vec(), outline[..outline.len() - 1].to_vec()]).collect()
}

#[test]
fn a_damaged_outline_of_an_intact_file_is_made_anew() {
    let (place, data) = sealed();
    let outline = place.read("a.atlas");
    let mut repaired = 0;
    for damaged in damaged_outlines(&outline) {
        place.write("a.atlas", &damaged);
        let ran = place.line("verify a");
        let said = format!("{}{}", ran.text(), ran.stderr);
        if ran.code == 0 || said.contains("the key is wrong") {
            continue;
        }
        assert!(said.contains("damaged") && said.contains("atlasm repair a"), "{}: {said}", ran.code);
        assert!(!said.contains("recover ") && !said.contains("no outline or container"), "{said}");
        // All commands say the same, and the one that the others name does it.
        assert!(
            place.line("repair -n a").expect(3).text().contains("a.atlas is damaged, and would be made anew")
        );
        let ran = place.line("update a").expect(1);
        assert!(
            ran.stderr.contains("a.atlas is itself damaged") && ran.stderr.contains("atlasm repair a"),
            "{}",
            ran.stderr
        );
        assert!(place.line("repair a").expect(0).text().starts_with("a.atlas: repaired, made anew from a"));
        place.line("verify --parity-too a").expect(0);
        repaired += 1;
        // Or sealing it.
        place.write("a.atlas", &damaged);
        place.line("seal -f a").expect(0);
        place.line("verify --parity-too a").expect(0);
        assert!(place.read("a") == data);
        assert_eq!(place.names(), ["a", "a.atlas", "a.atp", "copy"]);
    }
    assert!(repaired > 4, "{repaired}");
}

#[test]
fn no_word_in_the_name_of_a_file_decides() {
    let ((place, data), other) = (sealed(), Place::new());
    let name = "version 2, the key is wrong, memory_limit";
    let outline = format!("{name}.atlas");
    other.write(name, &data);
    other.run(["seal", "--parity", "10%", name]).expect(0);
    let damaged = damaged_outlines(&place.read("a.atlas")).into_iter();
    for (damaged, named) in damaged.zip(damaged_outlines(&other.read(&outline))) {
        place.write("a.atlas", damaged);
        other.write(&outline, named);
        let (ran, said) = (place.line("repair a"), other.run(["repair", name]));
        assert_eq!(said.code, ran.code, "{}: {}", ran.stderr, said.stderr);
        assert!(!said.stderr.contains("--memory"), "{}", said.stderr);
    }
}

#[test]
fn a_file_and_its_outline_are_both_repaired() {
    let (place, data) = sealed();
    let outline = place.read("a.atlas");
    for damaged in damaged_outlines(&outline) {
        place.write("a.atlas", &damaged);
        let ran = place.line("verify a");
        if ran.code == 0 || ran.stderr.contains("the key is wrong") {
            continue;
        }
        place.damage("a", MIB + 7);
        let ran = place.line("repair --discard a").expect(0);
        assert!(ran.text().contains("a.atlas was damaged too, and is made anew"), "{}", ran.text());
        assert!(place.read("a") == data);
        place.line("verify --parity-too a").expect(0);
    }
    // Without a parity file the root alone vouches, of the file or of a copy.
    fs::remove_file(place.path("a.atp")).unwrap();
    let damaged: Vec<u8> = damaged_outlines(&outline)
        .into_iter()
        .find(|damaged| {
            place.write("a.atlas", damaged);
            place.line("verify a").text().contains("record")
        })
        .unwrap();
    place.line("repair a").expect(0);
    place.write("a.atlas", &damaged);
    place.damage("a", MIB + 7);
    let before = place.read("a");
    let ran = place.line("repair a").expect(1);
    assert!(ran.stderr.contains("seal the file anew once you are sure"), "{}", ran.stderr);
    assert!(place.line("seal -f a").expect(1).stderr.contains("a.atlas is itself damaged"));
    assert!(place.read("a") == before && place.read("a.atlas") == damaged);
    place.line("repair --from copy a").expect(0);
    assert!(place.read("a") == data);
    place.line("verify a").expect(0);
}

#[test]
fn a_partial_repair_says_what_it_did() {
    let (place, data) = sealed();
    // Each row has lost more than it can rebuild: nothing is written.
    place.write("a", vec![0; data.len()]);
    let ran = place.line("repair --partial a").expect(4);
    assert!(
        ran.stderr.contains("a.atp can rebuild nothing of the 3.01 MiB that a has lost"),
        "{}",
        ran.stderr
    );
    assert_eq!(place.names(), ["a", "a.atlas", "a.atp", "copy"]);
    // A burst that is too long for some rows, and a damage that is not.
    let burst = place.line("info --json a.atp").expect(0).json()[0]["burst_size"].as_u64().unwrap_or(300_000);
    let burst = usize::try_from(burst).unwrap() + 2 * 4_096;
    let mut damaged = data.clone();
    damaged[MIB..MIB + burst].fill(7);
    place.write("a", &damaged);
    place.line("repair a").expect(4);
    let ran = place.line("repair --partial a").expect(4);
    let text = ran.text();
    assert!(text.starts_with("a: repaired in part from a.atp, "), "{text}");
    for part in [", rebuilt\n", ", damaged still\n", "kept as a.damaged\n", "atlasm repair --from COPY a\n"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(place.read("a.damaged"), damaged);
    // The ranges are those that were written, and those that were not.
    fs::remove_file(place.path("a.damaged")).unwrap();
    place.write("a", &damaged);
    let object = object(&place, "repair --partial a", 4);
    let ranges = |key: &str| -> Vec<(usize, usize)> {
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let list = object[key].as_array().unwrap().iter();
        list.map(|range| (number(&range["offset"]), number(&range["length"]))).collect()
    };
    assert_eq!((&object["result"], &object["kept"]), (&json!("incomplete"), &json!("a.damaged")));
    let now = place.read("a");
    let (rebuilt, left) = (ranges("rebuilt"), ranges("left"));
    assert!(!rebuilt.is_empty() && !left.is_empty(), "{object}");
    assert!(rebuilt.iter().all(|(at, len)| now[*at..at + len] == data[*at..at + len]));
    assert!(left.iter().all(|(at, len)| now[*at..at + len] == damaged[*at..at + len]));
    let all: usize = rebuilt.iter().chain(&left).map(|(_, len)| len).sum();
    assert!((burst..burst + 2 * 4_096).contains(&all), "{object}");
    place.line("repair --from copy a").expect(0);
    assert!(place.read("a") == data);
    // A cut file has its length again, which is said.
    fs::remove_file(place.path("a.damaged")).unwrap();
    place.write("a", &data[..data.len() - burst]);
    let text = place.line("repair --partial a").expect(4).text();
    assert!(text.contains("its full length again, with zeros"), "{text}");
    // If all can be repaired, --partial changes nothing, and the root is compared.
    fs::remove_file(place.path("a.damaged")).unwrap();
    place.write("a", &data);
    place.damage("a", 5);
    place.line("repair --partial a").expect(0);
    assert!(place.read("a") == data);
}

#[test]
fn a_copy_that_gives_nothing_says_why() {
    let (place, _) = sealed();
    fs::remove_file(place.path("a.atp")).unwrap();
    place.damage("a", 5);
    place.damage("a", 2 * MIB);
    place.write("bad", bytes(9));
    let before = place.read("a");
    for (command, why) in [
        ("exit 7 # {first} {last}", "sh failed: exit status: 7 (2 ranges)"),
        ("no-such-program {first} {last}", "sh failed: exit status: 127 (2 ranges)"),
        ("printf 12345 # {first} {last}", "sh returned 5 bytes instead of the requested 16384 (2 ranges)"),
        (
            "head -c 99999 /dev/zero # {first} {last}",
            "sh returned more than the requested 16384 bytes (2 ranges)",
        ),
        ("head -c 16384 /dev/zero # {first} {last}", "the bytes differ from the sealed bytes (2 ranges)"),
        (
            "sleep 9 # {first} {last}",
            "no further byte arrived for 0.2 s (--patience), after 0 of the 16384 requested bytes (2 ranges)",
        ),
    ] {
        let words = ["repair", "--patience", "0.2s", "--from-command", command, "a"];
        let text = place.run(words).expect(4).text();
        assert!(text.contains(&format!("{command}: {why}\n")), "{text}");
        let object = place.run([&words[..], &["--json"]].concat()).expect(4).json().remove(0);
        assert_eq!(object["refusals"][0]["why"], why);
    }
    let text = place.line("repair --from bad a").expect(4).text();
    assert!(text.contains("  bad: "), "{text}");
    assert_eq!(place.read("a"), before);
}

#[test]
fn a_copy_that_has_not_all_leaves_the_rest_to_the_parity() {
    let (place, data) = sealed();
    place.damage("a", 5);
    place.damage("a", 2 * MIB);
    place.damage("copy", 5);
    let text = place.line("repair --from copy a").expect(4).text();
    assert!(text.contains("  a.atp may have the rest: atlasm repair a\n"), "{text}");
    place.line("repair a").expect(0);
    assert!(place.read("a") == data);
}

#[test]
fn a_file_that_was_written_to_names_update_and_one_that_rotted_does_not() {
    let (place, _) = sealed();
    let file = || fs::File::options().write(true).open(place.path("a")).unwrap();
    let before = file().metadata().unwrap().modified().unwrap();
    place.damage("a", 5);
    let text = place.line("verify a").expect(3).text();
    assert!(text.ends_with("if that was meant: atlasm update a\n"), "{text}");
    assert_eq!(object(&place, "verify a", 3)["written_since"], true);
    file().set_modified(before).unwrap();
    let text = place.line("verify a").expect(3).text();
    assert!(!text.contains("atlasm update"), "{text}");
}

#[test]
fn an_update_states_what_it_takes_for_a_change() {
    let (place, data) = sealed();
    let size = data.len();
    place.write("a", [&data[..], b"more"].concat());
    place.damage("a", 5);
    let text = place.line("update -n a").expect(0).text();
    assert!(text.starts_with("a: would be updated: 16 KiB in 1 range changed, 4 B appended, "), "{text}");
    assert!(text.ends_with(&format!("  {size}..{}  4 B, appended\n", size + 4)), "{text}");
    let object = object(&place, "update a", 0);
    assert_eq!((&object["old_size"], &object["size"]), (&json!(size), &json!(size + 4)));
    place.write("a", "");
    let ran = place.line("update a").expect(0);
    assert!(
        ran.text().contains(&format!("a: updated, 3.01 MiB cut off, {} bytes are 0 now, root", size + 4)),
        "{}",
        ran.text()
    );
    assert!(ran.stderr.contains("a is 3.01 MiB shorter than when it was sealed"), "{}", ran.stderr);
    place.line("verify --parity-too a").expect(0);
}

#[test]
fn a_folder_has_a_summary_and_quiet_lists_what_is_not_intact() {
    let place = Place::new();
    fs::create_dir(place.path("d")).unwrap();
    for name in ["d/a", "d/b", "d/c"] {
        place.write(name, name);
    }
    place.line("seal -r d").expect(0);
    place.write("d/new", "not sealed");
    assert_eq!(
        place.line("verify -r d").expect(0).stderr,
        "atlasm: 3 of 3 files intact, 1 more file without a seal\n"
    );
    let ran = place.line("verify -r -q d").expect(0);
    assert_eq!((ran.text(), ran.stderr), (String::new(), String::new()));
    assert_eq!(place.line("verify -r -q --json d").expect(0).json().len(), 3);
    place.write("d/b", "D/B");
    fs::remove_file(place.path("d/c")).unwrap();
    let ran = place.line("verify -r d").expect(4);
    assert!(ran.stderr.contains("1 of 3 files intact, 1 missing"), "{}", ran.stderr);
    let text = place.line("verify -r -q d").expect(4).text();
    assert!(
        text.starts_with("d/b: damaged") && text.contains("d/c: missing") && !text.contains("d/a:"),
        "{text}"
    );
}

#[test]
fn a_parity_file_of_no_use_is_seen_while_the_file_is_intact() {
    let (place, data) = sealed();
    assert_eq!(place.line("verify a").expect(0).stderr, "");
    let parity = place.read("a.atp");
    place.write("a.atp", &parity[..parity.len() - 5_000]);
    let ran = place.line("verify a").expect(0);
    assert!(ran.stderr.contains("bytes instead of") && ran.stderr.contains("--parity-too"), "{}", ran.stderr);
    place.write("a.atp", "no parity file");
    assert!(place.line("verify a").expect(0).stderr.contains("a.atp"));
    let place = with_stale_parity(&data[1..]);
    let ran = place.line("verify a").expect(0);
    assert!(
        ran.stderr.contains("a.atp was made of other bytes: it protects 3158073 bytes instead of 3158072"),
        "{}",
        ran.stderr
    );
    assert_eq!(place.line("verify -q a").expect(0).stderr, "");
}

#[test]
fn a_file_that_is_gone_comes_back_from_a_copy() {
    let (place, data) = sealed();
    fs::remove_file(place.path("a")).unwrap();
    let ran = place.line("repair a").expect(4);
    assert!(
        ran.stderr.contains("a is missing, and its seal a.atlas exists")
            && ran.stderr.contains("--from COPY a"),
        "{}",
        ran.stderr
    );
    // Whole or not at all.
    place.damage("copy", 5);
    let text = place.line("repair --from copy a").expect(4).text();
    assert!(text.contains("still not there"), "{text}");
    assert_eq!(place.names(), ["a.atlas", "a.atp", "copy"]);
    place.write("copy", &data);
    assert_eq!(object(&place, "repair --from copy a", 0)["repaired_bytes"], data.len());
    assert!(place.read("a") == data);
    place.line("verify a").expect(0);
    // Without an outline there is nothing to compare a copy with.
    place.line("repair --from copy b").expect(5);
    assert!(!place.path("b").exists());
}

#[test]
fn folders_are_repaired_and_updated_and_only_new_files_sealed() {
    let place = Place::new();
    fs::create_dir_all(place.path("d/e")).unwrap();
    let files = ["d/a", "d/b", "d/e/c"];
    for name in files {
        place.write(name, name);
    }
    place.line("seal -r --parity 10% d").expect(0);
    // Leftovers and seals are not sealed.
    place.write("d/new", "new");
    place.write("d/a.damaged", "kept by a repair");
    place.write("d/.atlas-1-2.tmp", "left by a crash");
    place.line("seal -r d").expect(8);
    fs::remove_file(place.path("d/new.atlas")).unwrap();
    assert_eq!(place.line("seal -r --new d").expect(0).text(), "d/new: sealed in d/new.atlas (16 KiB)\n");
    assert_eq!(place.line("seal -r --new d").expect(0).text(), "");
    fs::remove_file(place.path("d/a.damaged")).unwrap();
    place.write("d/unsealed", "no seal");
    for name in files {
        place.damage(name, 1);
    }
    assert_eq!(place.line("repair -r --json d").expect(0).json().len(), 4);
    for name in files {
        assert_eq!(place.read(name), name.as_bytes());
        place.damage(name, 1);
    }
    assert_eq!(place.line("update -r --json d").expect(0).json().len(), 4);
    place.line("verify -r --parity-too d").expect(0);
    // A pattern names the seals too, which are nothing to verify.
    for command in ["verify", "repair", "update"] {
        let ran = place.line(&format!("{command} --json d/a d/a.atlas d/a.atp d/b d/b.atlas d/b.atp"));
        assert_eq!(ran.expect(0).json().len(), 2, "{command}");
    }
    place.line("repair -r d -o x").expect(2);
}
