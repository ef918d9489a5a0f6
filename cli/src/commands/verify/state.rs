//! State of a search in several runs: the file that `--resume` names.

use crate::commands::seal;
use crate::damage;
use crate::names;
use crate::output;
use crate::status::{Failure, Res, Status};
use crate::units::hex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Damage of a file that is not known to be repaired, and the root of the outline that showed it.
#[derive(Clone, Default)]
pub(super) struct Known {
    pub(super) root: [u8; 32],
    /// Bad ranges of the file, ascending.
    pub(super) bad: Vec<damage::Bad>,
}

/// An offset in a file, and the root of the outline with which the bytes before the offset were verified.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) root: [u8; 32],
}

/// Content of the JSON file that `--resume` names: the time at which each file was verified, the place at which
/// the search of an unfinished file continues, and the known damage.
pub(super) struct State {
    path: PathBuf,
    /// Time at which each file was verified, in nanoseconds since 1970. The keys are those of `State::key`.
    times: BTreeMap<String, i64>,
    /// Place at which the search of each unfinished file continues, by the same keys.
    places: BTreeMap<String, Place>,
    /// Known damage of each damaged file, by the same keys.
    damaged: BTreeMap<String, Known>,
    saved: Instant,
}

/// Minimum time between two writes of the state file, if no file is left unfinished.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

impl State {
    pub(super) fn load(path: &Path) -> Res<State> {
        let mut state = State {
            path: path.to_owned(),
            times: BTreeMap::new(),
            places: BTreeMap::new(),
            damaged: BTreeMap::new(),
            saved: Instant::now(),
        };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // A path that cannot be written is refused now, and not after hours.
                output::check_target(path, false, &[])?;
                return Ok(state);
            }
            Err(error) => return Err(Failure::io("reading the state", path, &error)),
        };
        let foreign = || {
            Failure::new(
                Status::Foreign,
                format!("{} is not a state file of atlasm verify", names::shown(path)),
            )
            .with_hint(
                "give --resume an unused name, or a file that an earlier run with --resume has written",
            )
        };
        let value: Value = serde_json::from_slice(&text).map_err(|_| foreign())?;
        let files = value.get("atlasm_verified_ns").and_then(Value::as_object).ok_or_else(foreign)?;
        for (name, time) in files {
            state.times.insert(name.clone(), time.as_i64().ok_or_else(foreign)?);
        }
        // A state of an earlier version has no places.
        let places =
            value.get("unfinished").map(|places| places.as_object().ok_or_else(foreign)).transpose()?;
        for (name, place) in places.into_iter().flatten() {
            let offset = place.get("offset").and_then(Value::as_u64).ok_or_else(foreign)?;
            let root = place.get("root").and_then(Value::as_str).ok_or_else(foreign)?;
            let root = crate::units::parse_digest(root).map_err(|_| foreign())?;
            state.places.insert(name.clone(), Place { offset, root });
        }
        let damaged = value.get("damaged").map(|files| files.as_object().ok_or_else(foreign)).transpose()?;
        for (name, known) in damaged.into_iter().flatten() {
            state.damaged.insert(name.clone(), Known::from_json(known).ok_or_else(foreign)?);
        }
        Ok(state)
    }

    /// Returns the key of a file in the state: its absolute path as a JSON object, which does not depend on the
    /// current folder.
    fn key(file: &Path) -> String {
        let whole = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        names::object(&whole).to_string()
    }

    /// Returns the time at which the file was verified, in nanoseconds since 1970. 0 means never.
    pub(super) fn verified(&self, file: &Path) -> i64 {
        self.times.get(&Self::key(file)).copied().unwrap_or(0)
    }

    /// Returns the place at which the search of the file continues. Its offset is 0 if no run left the file
    /// unfinished.
    pub(super) fn place(&self, file: &Path) -> Place {
        self.places.get(&Self::key(file)).copied().unwrap_or_default()
    }

    /// Returns the damage that earlier runs found in the file. Empty if they found none.
    pub(super) fn known(&self, file: &Path) -> Known {
        self.damaged.get(&Self::key(file)).cloned().unwrap_or_default()
    }

    pub(super) fn note_damage(&mut self, file: &Path, known: Known) {
        if known.bad.is_empty() {
            self.damaged.remove(&Self::key(file));
        } else {
            self.damaged.insert(Self::key(file), known);
        }
    }

    pub(super) fn note_place(&mut self, file: &Path, place: Place) -> Res<()> {
        self.places.insert(Self::key(file), place);
        self.save()
    }

    pub(super) fn note(&mut self, file: &Path) -> Res<()> {
        self.places.remove(&Self::key(file));
        self.times.insert(Self::key(file), seal::now());
        if self.saved.elapsed() >= SAVE_INTERVAL {
            self.save()?;
        }
        Ok(())
    }

    /// Writes the state file, completely or not at all.
    pub(super) fn save(&mut self) -> Res<()> {
        let staged = output::Staged::new(&self.path, true, &[])?;
        let mut file = staged.create()?;
        let failed = |error| Failure::io("writing the state", &self.path, &error);
        let places: serde_json::Map<String, Value> = self
            .places
            .iter()
            .map(|(name, place)| (name.clone(), json!({ "offset": place.offset, "root": hex(&place.root) })))
            .collect();
        let damaged: serde_json::Map<String, Value> =
            self.damaged.iter().map(|(name, known)| (name.clone(), known.json())).collect();
        let text = json!({ "atlasm_verified_ns": self.times, "unfinished": places, "damaged": damaged });
        let text = format!("{text}\n");
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
        seal::sync(&file, &self.path)?;
        staged.finish()?;
        self.saved = Instant::now();
        Ok(())
    }
}

impl Known {
    fn json(&self) -> Value {
        json!({ "root": hex(&self.root), "ranges": self.bad.iter().map(damage::Bad::json).collect::<Vec<_>>() })
    }

    fn from_json(value: &Value) -> Option<Known> {
        let root = crate::units::parse_digest(value.get("root")?.as_str()?).ok()?;
        let ranges = value.get("ranges")?.as_array()?;
        let bad = ranges.iter().map(damage::Bad::from_json).collect::<Option<Vec<_>>>()?;
        Some(Known { root, bad })
    }

    /// Returns the known bad ranges, without the parts that lie in `searched`.
    pub(super) fn outside(&self, searched: std::ops::Range<u64>) -> Vec<damage::Bad> {
        let mut out = Vec::new();
        for bad in &self.bad {
            let before = bad.end().min(searched.start);
            let behind = bad.offset.max(searched.end);
            for (offset, end) in [(bad.offset, before), (behind, bad.end())] {
                if offset < end {
                    out.push(damage::Bad { offset, length: end - offset, ..*bad });
                }
            }
        }
        out
    }
}
