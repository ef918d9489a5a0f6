//! Golden files, made by an implementation that shares no code: read and written byte for byte.

use super::*;
use crate::base::damage::{Damage, DamageKind, DamagePart};

fn files() -> (Value, [u8; 32]) {
    let files = golden("files.json");
    let key = unhex(files["key"].as_str().unwrap());
    (files, key)
}

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
}

fn list(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// Data and parity file of this name.
fn pair(file: &Value) -> (Vec<u8>, Vec<u8>) {
    let name = file["name"].as_str().unwrap();
    let data = stream(number(&file["seed"]), number(&file["size"]) as usize);
    assert_eq!(hex(&crate::digest256(&data)), file["data_blake3"].as_str().unwrap());
    let stored = vector(&format!("files/{}.data", name.trim_end_matches("-keyed")));
    if stored.exists() {
        assert!(std::fs::read(stored).unwrap() == data);
    }
    (data, std::fs::read(vector(&format!("files/{name}.atp"))).unwrap())
}

fn find<'a>(files: &'a Value, name: &str) -> &'a Value {
    files["files"].as_array().unwrap().iter().find(|file| file["name"] == name).unwrap()
}

#[test]
fn golden_files_are_written_byte_for_byte() {
    let (files, key) = files();
    for file in files["files"].as_array().unwrap() {
        let (data, atp) = pair(file);
        let mut options = ParityOptions::new()
            .with_unit_size(number(&file["U"]) as u32)
            .with_rows(number(&file["R"]))
            .with_parity_columns(number(&file["M"]) as u32)
            .with_id(unhex(file["id"].as_str().unwrap()));
        if file["keyed"].as_bool().unwrap() {
            options = options.with_key(&key);
        }
        if file["root"].as_str().unwrap().bytes().any(|digit| digit != b'0') {
            options = options.with_stored_root();
        }
        let made =
            in_all_ways(|operation| created(&data, &options, operation).map_err(|error| error.to_string()));
        assert!(made.unwrap() == atp, "{}", file["name"]);
    }
}

#[test]
fn golden_files_say_what_they_hold() {
    let (files, key) = files();
    for file in files["files"].as_array().unwrap() {
        let (data, atp) = pair(file);
        let keyed = file["keyed"].as_bool().unwrap();
        let info = open(&Medium::new(&atp, &[]), keyed.then_some(&key)).unwrap().info();
        let field = |name: &str| number(&file[name]);
        assert_eq!((info.protected_size, info.parity_size), (data.len() as u64, field("atp_size")));
        assert_eq!(info.parity_size, atp.len() as u64);
        assert_eq!((u64::from(info.unit_size), info.rows), (field("U"), field("R")));
        let columns = (u64::from(info.data_columns), u64::from(info.parity_columns));
        assert_eq!(columns, (field("K"), field("M")));
        assert_eq!((info.keyed, hex(&info.id)), (keyed, file["id"].as_str().unwrap().to_owned()));
        assert_eq!(hex(&info.root.unwrap_or_default()), file["root"].as_str().unwrap());
    }
}

/// A file, and the ranges of it that cannot be read.
#[derive(Clone)]
struct Hurt {
    bytes: Vec<u8>,
    unreadable: Vec<(u64, u64)>,
}

impl Hurt {
    fn new(bytes: Vec<u8>) -> Hurt {
        Hurt { bytes, unreadable: Vec::new() }
    }

    fn medium(&self) -> Arc<Medium> {
        Medium::new(&self.bytes, &self.unreadable)
    }

    fn apply(&mut self, damage: &Value) {
        let field = |name: &str| number(&damage[name]) as usize;
        let mut over = |offset: usize, new: &[u8]| {
            let end = offset + new.len();
            if self.bytes.len() < end {
                self.bytes.resize(end, 0);
            }
            self.bytes[offset..end].copy_from_slice(new);
        };
        match damage["op"].as_str().unwrap() {
            "xor" => self.bytes[field("offset")] ^= field("mask") as u8,
            "zeros" => over(field("offset"), &vec![0; field("length")]),
            "random" => over(field("offset"), &stream(field("seed") as u64, field("length"))),
            "copy" => {
                let from = field("from");
                let bytes = self.bytes[from..from + field("length")].to_vec();
                self.bytes[field("offset")..][..bytes.len()].copy_from_slice(&bytes);
            }
            "cut" => self.bytes.truncate(field("size")),
            "drop" => drop(self.bytes.drain(..field("length"))),
            "unreadable" => {
                let start = field("offset") as u64;
                self.unreadable.push((start, start + field("length") as u64));
            }
            other => panic!("{other} is no damage"),
        }
    }
}

fn verdict(text: &Value) -> ParityVerdict {
    match text.as_str().unwrap() {
        "intact" => ParityVerdict::Intact,
        "repairable" => ParityVerdict::Repairable,
        "incomplete" => ParityVerdict::Incomplete,
        other => panic!("{other} is no verdict"),
    }
}

/// Compares a check with the golden report.
fn check_report(parity: &AtlasParity, data: &Arc<Medium>, golden: &Value, name: &str) {
    let (report, found, error) = in_all_ways(|operation| {
        let (mut report, mut found) = (ParityReport::default(), Vec::new());
        let mut note = |damage: &Damage| {
            found.push(*damage);
            true
        };
        let result = parity.check(&data.source(), Some(&mut note), &mut report, operation);
        (report, found, result.err().map(|error| error.kind()))
    });
    let geometry = *parity.file.geometry();
    let [bad, unknown, bad_parity, unknown_parity] =
        ["bad_data", "unknown_data", "bad_parity", "unknown_parity"].map(|field| list(&golden[field]));
    let blocks = ["head", "tail"].map(|copy| list(&golden["bad_blocks"][copy]));
    let numbers = |part: DamagePart, unknown: bool| {
        let of_part = found.iter().filter(|damage| damage.part == part);
        let of_kind = of_part.filter(|damage| (damage.kind == DamageKind::Unknown) == unknown);
        of_kind.map(|damage| damage.index).collect::<Vec<_>>()
    };
    assert_eq!(
        (report.data, report.parity),
        (verdict(&golden["data"]), verdict(&golden["parity"])),
        "{name}"
    );
    let length = data.source().size() as i64 - geometry.size as i64;
    assert_eq!(length, golden["length"].as_i64().unwrap(), "{name}");
    assert_eq!(report.size, data.source().size());
    assert_eq!(numbers(DamagePart::Data, false), bad, "{name}");
    assert_eq!(numbers(DamagePart::Data, true), unknown, "{name}");
    assert_eq!(numbers(DamagePart::Parity, false), bad_parity, "{name}");
    assert_eq!(numbers(DamagePart::Parity, true), unknown_parity, "{name}");
    assert_eq!(numbers(DamagePart::Digests, false), blocks.concat(), "{name}");
    let lens = |lists: &[&[u64]]| lists.iter().map(|list| list.len() as u64).sum::<u64>();
    assert_eq!(report.bad_units, lens(&[&bad]), "{name}");
    assert_eq!(report.unknown_units, lens(&[&unknown]), "{name}");
    assert_eq!(report.bad_parity_units, lens(&[&bad_parity, &unknown_parity]), "{name}");
    assert_eq!(report.bad_blocks, lens(&[&blocks[0], &blocks[1]]), "{name}");
    assert_eq!(
        (report.lost_rows, report.repaired_units),
        (list(&golden["lost_rows"]).len() as u64, 0),
        "{name}"
    );
    let verdicts = [report.data, report.parity];
    let status = if verdicts.contains(&ParityVerdict::Incomplete) {
        Some(ErrorKind::Incomplete)
    } else if verdicts.contains(&ParityVerdict::Repairable) {
        Some(ErrorKind::Witness)
    } else {
        None
    };
    assert_eq!(error, status, "{name}");
    // The damage of the data comes first, ascending in each file.
    let place = |damage: &Damage| (damage.part != DamagePart::Data, damage.offset);
    assert!(found.windows(2).all(|two| place(&two[0]) < place(&two[1])), "{name}: {found:?}");
    let lost = list(&golden["lost_rows"]);
    for damage in &found {
        let row = match damage.part {
            DamagePart::Data => damage.index % geometry.rows.max(1),
            DamagePart::Parity => damage.index % geometry.rows.max(1),
            _ => continue,
        };
        assert_eq!(damage.repairable, !lost.contains(&row), "{name}: {damage:?}");
        assert_eq!(damage.os_error != 0, damage.kind == DamageKind::Unreadable, "{name}: {damage:?}");
    }
}

/// Compares a repair, in each mode, and a restoration with the golden files.
fn check_repairs(parity: &AtlasParity, data: &Hurt, golden: &Value, name: &str) {
    let digest = |result: Result<Vec<u8>>| match result {
        Ok(bytes) => hex(&crate::digest256(&bytes)),
        Err(error) => kind_name(error.kind()).to_owned(),
    };
    let wanted = golden["repaired"].as_str().unwrap();
    let new = in_all_ways(|operation| digest(repair_to_new(parity, &data.medium(), operation)));
    assert_eq!(new, wanted, "{name}");
    let in_place = in_all_ways(|operation| {
        let medium = data.medium();
        let (result, report) = repair_in_place(parity, &medium, &mut |_| true, false, operation);
        // A unit whose digest is lost may be right.
        let written = report.repaired_units <= report.bad_units + report.unknown_units;
        assert!(
            result.is_err() || written && report.repaired_units >= report.bad_units,
            "{name}: {report:?}"
        );
        if result.is_err() && *lock(&medium.unreadable) == data.unreadable {
            assert!(medium.all() == data.bytes, "{name}: refused and written");
        }
        digest(result.map(|()| medium.all()))
    });
    assert_eq!(in_place, wanted, "{name}");
    let restored = in_all_ways(|operation| digest(restored(parity, &data.medium(), operation)));
    assert_eq!(restored, golden["restored"].as_str().unwrap(), "{name}");
}

#[test]
fn golden_damage_is_found_and_repaired() {
    let (files, key) = files();
    for case in golden("cases.json").as_array().unwrap() {
        let name = format!("{} {}", case["file"], case["case"]);
        let file = find(&files, case["file"].as_str().unwrap());
        let (data, atp) = pair(file);
        let (mut data, mut atp) = (Hurt::new(data), Hurt::new(atp));
        for damage in case["damage"].as_array().unwrap() {
            if damage["on"] == "data" { data.apply(damage) } else { atp.apply(damage) }
        }
        assert_eq!(hex(&crate::digest256(&data.bytes)), case["data_blake3"].as_str().unwrap(), "{name}");
        assert_eq!(hex(&crate::digest256(&atp.bytes)), case["atp_blake3"].as_str().unwrap(), "{name}");
        let key = match case.get("key") {
            Some(Value::String(key)) => Some(unhex(key)),
            Some(_) => None,
            None => file["keyed"].as_bool().unwrap().then_some(key),
        };
        let status = case["open"].as_str().unwrap();
        let parity = match open(&atp.medium(), key.as_ref()) {
            Ok(parity) => parity,
            Err(error) => {
                assert_eq!(kind_name(error.kind()), status, "{name}: {error}");
                continue;
            }
        };
        assert_eq!(status, "OK", "{name}");
        check_report(&parity, &data.medium(), &case["report"], &name);
        check_repairs(&parity, &data, case, &name);
    }
}

#[test]
fn files_whose_seals_hold_and_whose_fields_lie_are_refused_or_bounded() {
    let (files, _) = files();
    let (data, _) = pair(find(&files, "copies"));
    for case in golden("hostile.json")["files"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let bytes = std::fs::read(vector(&format!("hostile/{name}.atp"))).unwrap();
        assert_eq!(hex(&crate::digest256(&bytes)), case["atp_blake3"].as_str().unwrap(), "{name}");
        let status = case["open"].as_str().unwrap();
        let parity = match open(&Medium::new(&bytes, &[]), None) {
            Ok(parity) => parity,
            Err(error) => {
                assert_eq!(kind_name(error.kind()), status, "{name}: {error}");
                continue;
            }
        };
        assert_eq!(status, "OK", "{name}");
        let mut data = Hurt::new(data.clone());
        check_report(&parity, &data.medium(), &case["report"], name);
        data.bytes[4096..].fill(0);
        check_repairs(&parity, &data, case, name);
    }
}

#[test]
fn golden_updates_are_written_byte_for_byte() {
    let (files, _) = files();
    let updates = golden("updates.json");
    let (old, atp) = pair(find(&files, updates["file"].as_str().unwrap()));
    let parity = open(&Medium::new(&atp, &[]), None).unwrap();
    for update in updates["updates"].as_array().unwrap() {
        let name = update["name"].as_str().unwrap();
        let mut new = old.clone();
        let size = number(&update["new_size"]) as usize;
        let over = |new: &mut Vec<u8>| new[10_000..19_000].copy_from_slice(&stream(77, 9_000));
        // As the recipe of the golden file says.
        match name {
            "in-place" | "not-named-in-another-row" => over(&mut new),
            "appended" | "cut" | "too-short" | "nothing" => {}
            "appended-and-in-place" => over(&mut new),
            "appended-beside-damage" => new[57_344] ^= 1,
            "appended-behind-a-changed-end" => *new.last_mut().unwrap() ^= 1,
            "in-place-beside-damage" => {
                new[57_344] ^= 1;
                new[4] = 0x78;
            }
            "not-named-in-the-same-row" => {
                over(&mut new);
                new[36_864] ^= 1;
            }
            other => panic!("{other} is not known"),
        }
        if size > new.len() {
            let more = stream(78, size - new.len());
            new.extend(more);
        }
        new.truncate(size);
        assert_eq!(hex(&crate::digest256(&new)), update["new_blake3"].as_str().unwrap(), "{name}");
        let mut options = ParityOptions::new().with_id(unhex(update["id"].as_str().unwrap()));
        if update["root"].as_bool().unwrap() {
            options = options.with_stored_root();
        }
        let regions: Vec<AtlasBoundaryRegion> = update["changed"]
            .as_array()
            .unwrap()
            .iter()
            .map(|range| AtlasBoundaryRegion::new(number(&range[0]), number(&range[1])))
            .collect();
        let status = in_all_ways(|operation| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("new.atp");
            let result = parity.update(&Source::copy(&new).unwrap(), &regions, &path, &options, operation);
            assert_eq!(path.exists(), result.is_ok());
            match result {
                Ok(()) => hex(&crate::digest256(&std::fs::read(&path).unwrap())),
                Err(error) => kind_name(error.kind()).to_owned(),
            }
        });
        let wanted = if update["status"] == "OK" { &update["atp_blake3"] } else { &update["status"] };
        assert_eq!(status, wanted.as_str().unwrap(), "{name}");
    }
}
