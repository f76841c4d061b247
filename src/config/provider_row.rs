//! `[[provider]]` rows: a user's own CLI, or a change to a built-in one.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::origin::Origin;
use super::problem::Problem;
use super::provider_keys::{example, names_within};
use super::provider_values::{
    arguments, below, each, field_path, file_beside, helper, home_folder, home_variable, model_name, program,
    provider_name, query, variable,
};
use super::section::{Section, Source};
use crate::policy::path_pattern::PathPattern;
use crate::policy::process_pattern::ProgramPattern;
use crate::providers::builtin;
use crate::providers::row::{Database, LiveRule, Provider, WorkingFolder};

/// A checked row; what it does not say is `None`.
#[derive(Debug, Clone)]
pub(super) struct ProviderRow {
    pub(super) name: String,
    /// Where the row begins.
    pub(super) line: usize,
    models: Option<Vec<String>>,
    home: Option<PathBuf>,
    home_env: Option<Vec<(String, String)>>,
    transcripts: Option<Vec<PathPattern>>,
    subagents: Option<Vec<PathPattern>>,
    id_field: Option<Vec<String>>,
    database: Option<Database>,
    working_folder: Option<WorkingFolder>,
    live: Option<Vec<LiveRule>>,
    resume: Option<Vec<String>>,
    fork: Option<Vec<String>>,
    processes: Processes,
    complete: Option<bool>,
}

/// What a row says of the CLI's processes.
#[derive(Debug, Clone, Default)]
struct Processes {
    cli: Option<Vec<ProgramPattern>>,
    helpers: Option<Vec<ProgramPattern>>,
    session_variables: Option<Vec<String>>,
    marks: Option<Vec<String>>,
}

impl ProviderRow {
    /// Reads one table.
    ///
    /// # Errors
    /// Everything that is wrong with it, by itself (what it lacks shows when it meets a built-in row: [`apply_row`]).
    pub(super) fn read(source: Source<'_>, span: Range<usize>, table: &DeTable<'_>) -> Result<Self, Vec<Problem>> {
        let mut section = Section::new(source, String::new(), span, table, example);
        let text = section.text("name");
        section.label =
            text.as_ref().map_or_else(|| "provider: ".to_owned(), |name| format!("provider {}: ", name.escape_debug()));
        section.refuse_unknown(&names_within(""));
        if !section.has("name") {
            section.refuse("name", "every provider needs a name".to_owned());
        }
        let name = section.checked("name", text, provider_name);
        let models = section.list("models");
        let home = section.text("home");
        let home_env = section.list("home_env");
        let row = Self {
            name: name.unwrap_or_default(),
            line: section.line(""),
            models: section.checked("models", models, each(model_name)),
            home: section.checked("home", home, |text| home_folder(&text)),
            home_env: section.checked("home_env", home_env, each(home_variable)),
            transcripts: patterns(&mut section, "transcripts", Id::Required),
            subagents: patterns(&mut section, "subagents", Id::Allowed),
            id_field: field(&mut section, "id_field"),
            database: database(&mut section),
            working_folder: working_folder(&mut section),
            live: live(&mut section),
            resume: command(&mut section, "resume"),
            fork: command(&mut section, "fork"),
            processes: processes(&mut section),
            complete: section.boolean("complete"),
        };
        if section.problems.is_empty() { Ok(row) } else { Err(section.problems) }
    }
}

/// The provider that a row makes of `base`, the provider that already has this name: what the row does not say stays as
/// it is there.
///
/// # Errors
/// Without a base, `home` and one of `transcripts` and `database` must be given.
pub(super) fn apply_row(row: &ProviderRow, path: &Path, base: Option<&Provider>) -> Result<Provider, Problem> {
    let mut provider = match base {
        Some(base) => base.clone(),
        None => blank(row, path)?,
    };
    let row = row.clone();
    if row.home.is_some() || row.home_env.is_some() {
        provider.live_home = None;
    }
    replace(&mut provider.models, row.models);
    replace(&mut provider.home.default, row.home);
    replace(&mut provider.home.variables, row.home_env);
    replace(&mut provider.transcripts, row.transcripts);
    replace(&mut provider.subagents, row.subagents);
    replace(&mut provider.id_field, row.id_field);
    replace(&mut provider.working_folder, row.working_folder);
    replace(&mut provider.live, row.live);
    replace(&mut provider.resume, row.resume);
    replace(&mut provider.fork, row.fork);
    replace(&mut provider.processes.cli, row.processes.cli);
    replace(&mut provider.processes.helpers, row.processes.helpers);
    replace(&mut provider.processes.session_variables, row.processes.session_variables);
    replace(&mut provider.processes.marks, row.processes.marks);
    replace(&mut provider.complete, row.complete);
    provider.database = row.database.or(provider.database);
    Ok(provider)
}

/// A provider with nothing but the row's name, once it is sure that the row says the rest.
fn blank(row: &ProviderRow, path: &Path) -> Result<Provider, Problem> {
    let sessions = row.database.is_some() || row.transcripts.as_ref().is_some_and(|patterns| !patterns.is_empty());
    for (key, present) in [("home", row.home.is_some()), ("transcripts", sessions)] {
        if !present {
            let remedy = format!("write for example `{}`", example(key).unwrap_or_default());
            let key = format!("provider {}: {key}", row.name);
            let message = "no built-in provider has this name, so it must be given";
            let origin = Origin::File(path.to_path_buf());
            return Err(Problem::new(origin, key, message, remedy).at_line(row.line));
        }
    }
    Ok(builtin::row(&row.name))
}

fn replace<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

/// What a live pattern becomes.
type Rule = fn(PathPattern) -> LiveRule;

/// Whether a pattern must hold the session's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Id {
    Required,
    Allowed,
}

fn patterns(section: &mut Section<'_>, key: &str, id: Id) -> Option<Vec<PathPattern>> {
    let list = section.one_or_many(key);
    section.checked(key, list, |list| {
        list.iter()
            .map(|text| {
                let pattern = PathPattern::parse(text).map_err(|error| error.to_string())?;
                if id == Id::Required && pattern.name.is_none() {
                    return Err(format!("{text:?} does not hold {{id}}, so no file would belong to a session"));
                }
                Ok(pattern)
            })
            .collect()
    })
}

fn field(section: &mut Section<'_>, key: &str) -> Option<Vec<String>> {
    let text = section.text(key);
    section.checked(key, text, |text| field_path(&text))
}

fn database(section: &mut Section<'_>) -> Option<Database> {
    let mut inner = section.section("database")?;
    inner.refuse_unknown(&names_within("database."));
    for key in ["path", "query"] {
        if !inner.has(key) {
            inner.refuse(key, "a database needs `path` and `query`".to_owned());
        }
    }
    let (path, text) = (inner.text("path"), inner.text("query"));
    let path = inner.checked("path", path, |text| below(&text));
    let query = inner.checked("query", text, query);
    section.problems.append(&mut inner.problems);
    Some(Database { path: path?, query: query? })
}

fn working_folder(section: &mut Section<'_>) -> Option<WorkingFolder> {
    if section.has("cwd_field") && section.has("cwd_file") {
        section.refuse("cwd_file", "only one of `cwd_field` and `cwd_file` can be given".to_owned());
        return None;
    }
    let file = section.text("cwd_file");
    section
        .checked("cwd_file", file, file_beside)
        .map(WorkingFolder::File)
        .or_else(|| field(section, "cwd_field").map(WorkingFolder::Field))
}

fn live(section: &mut Section<'_>) -> Option<Vec<LiveRule>> {
    let mut inner = section.section("live")?;
    inner.refuse_unknown(&names_within("live."));
    let kinds: [(&str, Id, Rule); 5] = [
        ("records", Id::Allowed, LiveRule::Records),
        ("held_lock", Id::Required, LiveRule::HeldLock),
        ("pid_file", Id::Required, LiveRule::PidFile),
        ("roster", Id::Allowed, LiveRule::Roster),
        ("daemon", Id::Allowed, LiveRule::DaemonPid),
    ];
    let mut rules = Vec::new();
    for (key, id, rule) in kinds {
        rules.extend(patterns(&mut inner, key, id).unwrap_or_default().into_iter().map(rule));
    }
    if inner.boolean("open_transcript") == Some(true) {
        rules.push(LiveRule::OpenTranscript);
    }
    section.problems.append(&mut inner.problems);
    Some(rules)
}

fn processes(section: &mut Section<'_>) -> Processes {
    let Some(mut inner) = section.section("processes") else { return Processes::default() };
    inner.refuse_unknown(&names_within("processes."));
    let processes = Processes {
        cli: one_or_many(&mut inner, "cli", program),
        helpers: one_or_many(&mut inner, "helpers", helper),
        session_variables: one_or_many(&mut inner, "session_variables", variable),
        marks: one_or_many(&mut inner, "marks", variable),
    };
    section.problems.append(&mut inner.problems);
    processes
}

fn one_or_many<T>(section: &mut Section<'_>, key: &str, check: fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
    let list = section.one_or_many(key);
    section.checked(key, list, each(check))
}

/// An argument vector; empty when the CLI has no such command.
fn command(section: &mut Section<'_>, key: &str) -> Option<Vec<String>> {
    let list = section.list(key);
    section.checked(key, list, arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::ConfigFile;
    use crate::config::provider_keys::KEYS;
    use crate::providers::row::{Home, ProcessRules};

    /// The built-in Claude row as a user would write it.
    const CLAUDE: &str = include_str!("../../tests/fixtures/claude-row.toml");

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap()
    }

    fn claude() -> Provider {
        let rows = builtin::rows();
        rows.into_iter().find(|row| row.name == "claude").unwrap()
    }

    fn read(text: &str) -> ConfigFile {
        ConfigFile::of_text(Path::new("/c.toml"), text)
    }

    /// The provider of a file with one right row.
    fn provider(text: &str, base: Option<&Provider>) -> Provider {
        let file = read(text);
        assert_eq!(file.problems, []);
        apply_row(&file.rows[0], &file.path, base).unwrap()
    }

    /// The only problem of a row called `x` with these lines.
    fn problem(lines: &str) -> String {
        let file = read(&format!("[[provider]]\nname = \"x\"\n{lines}\n"));
        assert_eq!(file.problems.len(), 1, "{lines}: {:?}", file.problems);
        file.problems[0].to_string()
    }

    #[test]
    fn the_claude_row_written_as_a_user_row_is_the_same_provider() {
        // What a CLI deletes itself is only known of those that are built in; its processes have too many patterns.
        let Provider { processes, own_cleanup, .. } = claude();
        assert_eq!(Provider { processes, own_cleanup, ..provider(CLAUDE, None) }, claude());
        assert_eq!(provider(CLAUDE, Some(&claude())), claude());
    }

    #[test]
    fn every_key_reaches_the_provider() {
        let text = r#"
            [[provider]]
            name = "mycli"
            home = "~/.mycli"
            home_env = ["A", "B/.mycli"]
            transcripts = ["{year}/{id:8}.json"]
            id_field = "payload.id"
            database = { path = "data/my.db", query = "select id, t, cwd from s" }
            cwd_file = "../.project_root"
            complete = false
            [provider.live]
            records = ["a/*.json", "b/*.json"]
            held_lock = "locks/{id}.lock"
            pid_file = "state/{id}/inuse.*.lock"
            open_transcript = true
            roster = "daemon/roster.json"
            daemon = "daemon/*.pid"
            [provider.processes]
            cli = ["mycli", "node */bin/mycli"]
            helpers = "* */mycli/*"
            session_variables = ["MYCLI_ID"]
            marks = ["MYCLI"]
        "#;
        let mycli = provider(text, None);
        assert_eq!(mycli.models, ["mycli"]);
        assert_eq!(mycli.home.default, Path::new(".mycli"));
        assert_eq!(mycli.home.variables, [("A".to_owned(), String::new()), ("B".to_owned(), ".mycli".to_owned())]);
        assert_eq!(mycli.transcripts, [pattern("{year}/{id:8}.json")]);
        assert_eq!(mycli.id_field, ["payload", "id"]);
        let query = "select id, t, cwd from s".to_owned();
        assert_eq!(mycli.database, Some(Database { path: PathBuf::from("data/my.db"), query }));
        assert_eq!(mycli.working_folder, WorkingFolder::File("../.project_root".to_owned()));
        assert_eq!(
            mycli.live,
            [
                LiveRule::Records(pattern("a/*.json")),
                LiveRule::Records(pattern("b/*.json")),
                LiveRule::HeldLock(pattern("locks/{id}.lock")),
                LiveRule::PidFile(pattern("state/{id}/inuse.*.lock")),
                LiveRule::Roster(pattern("daemon/roster.json")),
                LiveRule::DaemonPid(pattern("daemon/*.pid")),
                LiveRule::OpenTranscript,
            ]
        );
        let program = |text| ProgramPattern::parse(text).unwrap();
        let expected = ProcessRules {
            cli: vec![program("mycli"), program("node */bin/mycli")],
            helpers: vec![program("* */mycli/*")],
            session_variables: vec!["MYCLI_ID".to_owned()],
            marks: vec!["MYCLI".to_owned()],
        };
        assert_eq!(mycli.processes, expected);
        assert!(!mycli.complete);
    }

    #[test]
    fn a_row_of_name_and_home_moves_a_built_in_provider_and_changes_nothing_else() {
        let moved = provider("[[provider]]\nname = \"claude\"\nhome = \"/srv/claude\"\n", Some(&claude()));
        let home = Home { default: PathBuf::from("/srv/claude"), ..claude().home };
        assert_eq!(moved, Provider { home, ..claude() });
    }

    #[test]
    fn what_a_row_says_of_processes_replaces_that_alone() {
        let text = "[[provider]]\nname = \"claude\"\nprocesses.cli = \"my-claude\"\nprocesses.helpers = []\n";
        let changed = provider(text, Some(&claude())).processes;
        let cli = vec![ProgramPattern::parse("my-claude").unwrap()];
        assert_eq!(changed, ProcessRules { cli, helpers: Vec::new(), ..claude().processes });
    }

    #[test]
    fn live_rules_and_variables_of_a_built_in_provider_can_be_taken_away() {
        let text = "[[provider]]\nname = \"claude\"\nlive = {}\nhome_env = []\nfork = []\n";
        let bare = provider(text, Some(&claude()));
        assert_eq!((bare.live, bare.home.variables, bare.fork), (Vec::new(), Vec::new(), Vec::new()));
    }

    #[test]
    fn a_new_provider_needs_a_home_and_transcripts_or_a_database() {
        let lacking = |lines: &str| {
            let file = read(&format!("[[provider]]\nname = \"x\"\n{lines}\n"));
            assert_eq!(file.problems, []);
            apply_row(&file.rows[0], &file.path, None).map_err(|problem| problem.to_string())
        };
        let message = lacking("transcripts = [\"{id}\"]").unwrap_err();
        assert!(message.starts_with("/c.toml:1: provider x: home: no built-in provider"), "{message}");
        for lines in ["home = \".x\"", "home = \".x\"\ntranscripts = []"] {
            let message = lacking(lines).unwrap_err();
            assert!(message.contains("provider x: transcripts"), "{message}");
        }
        assert!(lacking("home = \".x\"\ndatabase = { path = \"a.db\", query = \"SELECT 1\" }").is_ok());
    }

    #[test]
    fn bad_values_are_refused_by_row_key_line_and_reason() {
        for (lines, reason) in [
            ("transcripts = [\"a/*.jsonl\"]", "/c.toml:3: provider x: transcripts: \"a/*.jsonl\" does not hold {id}"),
            ("transcripts = [\"/a/{id}\"]", "relative to the provider's home"),
            ("transcripts = [\"{who}/{id}\"]", "unknown placeholder"),
            ("transcripts = [1]", "every element"),
            ("transcripts = 1", "not a bare number"),
            ("subagents = [\"../x\"]", "provider x: subagents"),
            ("models = \"x\"", "must be a list of texts, not a text"),
            ("models = [\"a*b\"]", "with `*` at its end only"),
            ("home = \"~bob/x\"", "not the home of another user"),
            ("home = \"../x\"", "without `..`"),
            ("home_env = [\"1A\"]", "environment variable"),
            ("home_env = [\"A/../b\"]", "without `..`"),
            ("id_field = \"a..b\"", "with a `.` between them"),
            ("id_field = \"\"", "provider x: id_field"),
            ("database = { path = \"a.db\" }", "provider x: database.query: a database needs"),
            ("database = { path = \"/a.db\", query = \"SELECT 1\" }", "database.path"),
            ("database = { path = \"a.db\", query = \"DELETE FROM s\" }", "must begin with SELECT"),
            ("cwd_field = \"cwd\"\ncwd_file = \"f\"", "only one of"),
            ("cwd_file = \"/etc/passwd\"", "relative to the transcript's folder"),
            ("live = { record = \"sessions/*.json\" }", "live.record: unknown key; did you mean `records`?"),
            ("live = { held_lock = \"locks/x.lock\" }", "live.held_lock: \"locks/x.lock\" does not hold {id}"),
            ("live = true", "must be a table"),
            ("processes = true", "must be a table"),
            ("processes = { cli = [\"* */mycli\"] }", "processes.cli: \"* */mycli\" would take every program"),
            ("processes = { cli = [\"*/* x\"] }", "its first word must name one"),
            ("processes = { cli = [\"\"] }", "provider x: processes.cli: a pattern begins with a program"),
            ("processes = { helpers = [\"** x\"] }", "the first word is the program"),
            ("processes = { helpers = [\"x **\"] }", "it does not end with `**`"),
            ("processes = { helpers = 1 }", "processes.helpers: must be a text"),
            ("processes = { marks = [\"A=1\"] }", "processes.marks: \"A=1\" is no name of an environment variable"),
            ("processes = { session_variables = [\"\"] }", "processes.session_variables: \"\" is no name"),
            ("processes = { mark = [\"A\"] }", "processes.mark: unknown key; did you mean `marks`?"),
            ("live = { roster = \"/x\" }", "live.roster"),
            ("resume = [\"x\", \"{prompt}\"]", "no element holds {id}"),
            ("resume = [\"x\", \"{id}\"]", "the last element must end with {prompt}"),
            ("resume = [\"x\", \"{id}\", \"{prompt}!\"]", "the last element must end with {prompt}"),
            ("resume = [\"x\", \"{prompt}\", \"{id}\", \"{prompt}\"]", "no other may hold it"),
            ("resume = [\"{id}\", \"{prompt}\"]", "must be the program"),
            ("fork = [\"{prompt}\"]", "provider x: fork: the first element"),
            ("complete = \"no\"", "must be true or false, not a text; write for example `complete = false`"),
            ("transcript = [\"{id}\"]", "provider x: transcript: unknown key; did you mean `transcripts`?"),
        ] {
            let message = problem(lines);
            assert!(message.contains(reason), "{lines}\n{message}");
        }
    }

    #[test]
    fn a_name_is_needed_and_simple() {
        for (text, reason) in [
            ("[[provider]]\nhome = \"x\"", "provider: name: every provider needs a name"),
            ("[[provider]]\nname = 1", "must be a text"),
            ("[[provider]]\nname = \"\"", "1 to 40"),
            ("[[provider]]\nname = \"My CLI\"", "provider My CLI: name"),
            ("[[provider]]\nname = \"-x\"", "not begin with"),
            ("[provider]\nname = \"x\"", "two brackets"),
        ] {
            let file = read(text);
            assert_eq!(file.problems.len(), 1, "{text}: {:?}", file.problems);
            assert!(file.problems[0].to_string().contains(reason), "{}", file.problems[0]);
        }
    }

    #[test]
    fn every_example_is_right() {
        for key in KEYS.iter().filter(|key| key.name != "name" && !key.name.starts_with("database.")) {
            let file = read(&format!("[[provider]]\nname = \"x\"\n{}\n", key.example));
            assert_eq!(file.problems, [], "{}", key.name);
        }
        let lines: Vec<_> =
            KEYS.iter().filter(|key| key.name.starts_with("database.")).map(|key| key.example).collect();
        assert_eq!(read(&format!("[[provider]]\nname = \"x\"\n{}\n", lines.join("\n"))).problems, []);
    }
}
