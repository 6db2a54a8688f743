"""Each command against a server: what it prints, its JSON, its exit code."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from moorage.errors import ExitCode
from moorage.models.execution import ExecutionError
from moorage.models.usage import Usage


def answer(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_ls(moorage):
    moorage("start", "churn")
    result = moorage("ls")
    assert result.exit_code == 0
    heading, churn, geo, *rest = result.stdout.splitlines()
    assert heading.split() == ["INSTALLATION", "VERSION", "STATE", "LEVEL", "WORKER", "CALLS", "DENIED"]
    assert churn.split() == ["churn", "1.0.0", "ready", "full", "#1", "pid", "4242", "12", "1"]
    assert geo.split() == ["geo-tag", "1.0.0", "not", "granted"]
    assert "geo-tag is not granted: It requires sql.read:places. moorage why geo-tag" in rest
    assert "not usable: /plugins/odd" in rest
    assert "  pyproject.toml line 3: unknown key `requird`." in rest


def test_ls_fits_80_columns(moorage, monkeypatch, host):
    host.add("a-name-as-long-as-a-name-may-be-and-then-some-more-of-it-00000064", tasks={})
    monkeypatch.setenv("COLUMNS", "80")
    lines = moorage("ls").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "some-more-of-it" in "".join(line.split()[0] for line in lines if line.strip())


def test_ls_json(moorage):
    data = answer(moorage("ls", "--json"))
    assert [each["id"] for each in data["installations"]] == ["churn", "geo-tag"]
    assert data["broken_plugins"][0]["path"] == "/plugins/odd"


def test_ls_of_nothing_says_what_to_do(moorage, host):
    host.plugins.clear()
    assert "moorage install FOLDER" in moorage("ls").stdout


def test_show(moorage):
    moorage("start", "churn")
    text = moorage("show", "churn").stdout
    for part in (
        "churn 1.0.0  ready", "Reports user numbers", "Ada <ada@example.com>", "AutoRun, reporting", "/plugins/churn",
        "#1 pid 4242, sandbox full, zygote, Python 3.12.1", "256 MiB memory, 5 min a run", "sql.read:users", "by ada",
        "needs sql.read:users", "Does execute.", "12 calls, 1 denied",
    ):  # fmt: skip
        assert part in text
    assert answer(moorage("show", "churn", "--json"))["plugin"]["entry_point"] == "churn.plugin:plugin"


def test_a_wrong_name_gets_the_nearest_one(moorage):
    for command in (("show",), ("run",), ("start",), ("stop",), ("logs",), ("executions",), ("logs", "-f")):
        result = moorage(*command, "chrun")
        assert result.exit_code == ExitCode.NOT_FOUND, command
        assert result.stdout == ""
        assert "There is no installation chrun. Did you mean churn?" in result.stderr


def test_a_name_like_no_other_gets_the_list(moorage):
    assert "There are: churn, geo-tag." in moorage("show", "weather").stderr


@pytest.mark.parametrize("name", ["a/../b", "?x=1", "#", "churn/stop", "%2e%2e", "ä", ""])
def test_an_odd_name_is_a_name_and_never_another_route(moorage, name):
    result = moorage("show", name)
    assert result.exit_code == ExitCode.NOT_FOUND
    assert f"There is no installation {name}" in result.stderr.replace("'", "")


@pytest.mark.parametrize("identity", ["", "../x", "e-1/cancel"])
@pytest.mark.parametrize("command", ["execution", "cancel"])
def test_an_odd_id_of_an_execution_leads_nowhere_else(moorage, command, identity):
    result = moorage(command, identity)
    assert result.exit_code == ExitCode.NOT_FOUND
    assert f"There is no execution {identity!r}" in result.stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("stop", "churn", "--hold", " "), "--hold"),
        (("top", "--interval", "1e400"), "--interval"),
        (("run", "churn", "--timeout", "-1"), "--timeout"),
        (("run", "churn", "--timeout", "nan"), "--timeout"),
    ],
)
def test_options_out_of_range_are_named(moorage, words, named):
    result = moorage(*words)
    assert result.exit_code == ExitCode.USAGE
    assert named in result.stderr


def test_a_hold_is_told_on_one_line_and_has_bounds(moorage, host):
    assert moorage("stop", "churn", "--hold", "x" * 1001).exit_code == ExitCode.INVALID
    assert moorage("stop", "churn", "--hold", "first\nsecond  line").exit_code == 0
    assert host.plugins["churn"].installation.desired.held_reason == "first second line"


def test_run(moorage):
    result = moorage("run", "churn", "--input", '{"day": 1}')
    assert result.exit_code == 0
    assert result.stdout.startswith("churn execute: succeeded in 0.31 s  e-1\n")
    assert json.loads(result.stdout.split("\n", 1)[1]) == {"users": 3, "got": {"day": 1}}
    data = answer(moorage("run", "churn", "--json"))
    assert (data["state"], data["trigger"]) == ("succeeded", "manual")


def test_run_takes_input_from_a_file_or_from_standard_input(moorage, tmp_path):
    (tmp_path / "in.json").write_text("[1, 2]")
    assert answer(moorage("run", "churn", "-i", f"@{tmp_path / 'in.json'}", "--json"))["input"] == [1, 2]
    assert answer(moorage("run", "churn", "-i", "-", "--json", input='"text"'))["input"] == "text"


@pytest.mark.parametrize("given", ["{", "@missing.json", "nul"])
def test_run_refuses_input_that_is_no_json(moorage, given):
    result = moorage("run", "churn", "--input", given)
    assert result.exit_code == ExitCode.USAGE
    assert "it is not JSON" in result.stderr or "cannot be read" in result.stderr


def test_a_failed_run_shows_the_traceback_and_ends_with_1(moorage):
    result = moorage("run", "churn", "fail", "--input", "7")
    assert result.exit_code == ExitCode.FAILED
    assert result.stdout.startswith("churn fail: failed in 0.31 s")
    assert "LookupError: no such user: 7" in result.stdout
    assert "raise LookupError" in result.stdout
    failed = moorage("run", "churn", "fail", "--json")
    assert failed.exit_code == ExitCode.FAILED
    assert json.loads(failed.stdout)["error"]["type"] == "LookupError"


@pytest.mark.parametrize("frames", ["", 'Traceback (most recent call last):\n  File "plugin.py", line 3, in execute\n'])
def test_an_error_and_its_remedy_are_said_once(moorage, host, frames):
    identity = answer(moorage("run", "churn", "--json"))["id"]
    remedy = "moorage grant churn 'sql.read:plays'"
    sentence = f"churn lacks sql.read:plays. {remedy}"
    told = ExecutionError(
        "CapabilityMissing", f"task 'execute' raised {sentence}", f"{frames}CapabilityMissing: {sentence}\n"
    )
    host.runs[identity] = replace(host.runs[identity], error=replace(told, remedy=remedy))
    shown = moorage("execution", identity).stdout
    assert shown.count("lacks sql.read:plays") == shown.count(remedy) == 1
    host.runs[identity] = replace(host.runs[identity], error=replace(told, remedy="ask Ada"))
    assert moorage("execution", identity).stdout.rstrip().endswith("ask Ada")


def test_an_unknown_task_is_rejected(moorage):
    result = moorage("run", "churn", "exceute")
    assert result.exit_code == ExitCode.FAILED
    assert "churn has no task exceute. It has: execute, fail, wait." in result.stdout


def test_a_run_that_is_not_waited_for(moorage):
    data = answer(moorage("run", "churn", "wait", "--no-wait", "--json"))
    assert data["finished"] is False
    identity = data["id"]
    listed = moorage("executions", "churn").stdout.splitlines()
    assert listed[1].split()[:3] == [identity, "wait", "manual"]
    shown = moorage("execution", identity).stdout
    assert "started by  " in shown
    cancelled = moorage("cancel", identity)
    assert "churn wait: cancelled" in cancelled.stdout
    assert answer(moorage("execution", identity, "--json"))["state"] == "cancelled"


def test_a_run_has_a_timeout(moorage):
    result = moorage("run", "churn", "wait", "--timeout", "0.01")
    assert result.exit_code == ExitCode.FAILED
    assert "timed out" in result.stdout


def test_executions_of_nothing(moorage):
    assert "Run something with: moorage run churn" in moorage("executions", "churn").stdout
    assert answer(moorage("executions", "--json")) == {"items": []}


def test_an_unknown_execution(moorage):
    result = moorage("execution", "e-404")
    assert result.exit_code == ExitCode.NOT_FOUND
    assert "There is no execution e-404." in result.stderr


def test_logs(moorage, host):
    host.log("churn", "counted", fields={"users": 3})
    host.log("geo-tag", "broken\nin two", level=40, exception="Traceback (most recent call last):\n  boom")
    lines = moorage("logs").stdout.splitlines()
    assert lines[0].split() == ["12:00:01", "INFO", "churn", "counted", "users=3"]
    assert lines[1].split() == ["12:00:02", "ERROR", "geo-tag", "broken"]
    assert lines[2:] == ["    in two", "    Traceback (most recent call last):", "      boom"]
    assert moorage("logs", "churn").stdout == "12:00:01 INFO    counted  users=3\n"
    assert [line["id"] for line in answer(moorage("logs", "--json", "-n", "1"))["items"]] == [2]


def test_logs_of_one_execution(moorage, host):
    host.log("churn", "mine", execution="e-1")
    host.log("churn", "other", execution="e-2")
    assert [line["message"] for line in answer(moorage("logs", "-e", "e-1", "--json"))["items"]] == ["mine"]


def test_logs_are_followed_until_the_host_stops(moorage, host):
    async def follow(*, installation=None):
        yield host.log("churn", "new")

    host.log("churn", "old")
    host.follow_logs = follow
    result = moorage("logs", "-f", "churn")
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["old", "new"]
    assert "The host has stopped." in result.stderr
    followed = moorage("logs", "-f", "--json", "-n", "0").stdout.splitlines()
    assert [json.loads(line)["message"] for line in followed] == ["new"]


def test_start_stop_hold_release(moorage):
    assert moorage("start", "churn").stdout == "churn 1.0.0 is ready (#1, pid 4242, sandbox full).\n"
    assert moorage("stop", "churn", "--hold", "INC-4711").stdout == "churn: 1 processes gone.\n"
    refused = moorage("start", "churn")
    assert refused.exit_code == ExitCode.FAILED
    assert refused.stderr == "churn is held: INC-4711. moorage release churn\n"
    assert moorage("release", "churn").stdout == "churn 1.0.0 is stopped. Start it: moorage start churn\n"
    assert answer(moorage("start", "churn", "--json"))["state"] == "ready"


def test_release_says_how_long_it_took_to_be_ready_again(moorage, host, monkeypatch):
    async def up_again(name, **_):
        return await host.start(name)

    monkeypatch.setattr(host, "release", up_again)
    told = moorage("release", "churn", "--reason", "rolled back").stdout
    assert re.fullmatch(r"churn 1\.0\.0 is ready in \d+\.\d s \(#1, pid 4242, sandbox full\)\.\n", told)


def test_disable_enable_scale(moorage):
    moorage("start", "churn")
    assert moorage("disable", "churn", "--reason", "it is noisy").stdout == "churn: 1 processes gone.\n"
    assert answer(moorage("show", "churn", "--json"))["desired"]["enabled"] is False
    assert moorage("enable", "churn").stdout == "churn 1.0.0 is stopped. Start it: moorage start churn\n"
    assert moorage("scale", "churn", "2").stdout == "churn 1.0.0 has 2 workers whenever it is up; now it is stopped.\n"
    assert answer(moorage("scale", "churn", "3", "--json"))["desired"]["replicas"] == 3
    assert moorage("scale", "churn", "0").exit_code == ExitCode.INVALID


def test_kill_reload_unload_all(moorage):
    moorage("start", "churn")
    assert answer(moorage("kill", "churn", "--json"))["processes"] == 1
    assert moorage("reload", "churn").stdout == "churn 1.0.0: installed; it does not run.\n"
    assert "#2 serves" in moorage("reload", "churn", "--start").stdout
    assert "#3 serves; #2 went after" in moorage("restart", "churn").stdout
    assert answer(moorage("restart", "churn", "--mode", "in_turn", "--json"))["mode"] == "in_turn"
    assert moorage("unload-all").stdout == "churn: 1 processes gone.\ngeo-tag: 0 processes gone.\n"
    assert [each["processes"] for each in answer(moorage("unload-all", "--json"))["items"]] == [0, 0]


def test_grant_and_revoke(moorage):
    granted = moorage("grant", "geo-tag", "sql.read:places")
    assert granted.exit_code == 0
    assert "geo-tag is stopped." in granted.stdout
    assert answer(moorage("revoke", "geo-tag", "sql.read:places", "--json"))["grants"][0]["granted"] is False
    assert answer(moorage("grant", "geo-tag", "--required", "--json"))["grants"][0]["granted"] is True


def test_what_changed_is_told_and_not_all_that_there_is(moorage, host):
    host.add("mail", tasks={}, required=["config.read:**"], optional=["kafka.produce:audit", "sql.read:users"])
    moorage("grant", "mail", "--required", "--optional")
    revoked = moorage("revoke", "mail", "kafka.produce:audit").stdout
    assert revoked.startswith("kafka.produce:audit is taken back.\n")
    assert "kafka.produce:audit  no, optional" in revoked
    denied = moorage("deny", "mail", "kafka.produce:**", "--because", "INC-7").stdout
    assert denied.startswith("kafka.produce:** is denied, whatever is granted.\n    INC-7\n")
    assert "kafka.produce:audit" in denied
    undenied = moorage("undeny", "mail", "kafka.produce:**").stdout
    assert undenied.startswith("kafka.produce:** is denied no more.\n")
    for told in (revoked, denied, undenied):
        assert "config.read" not in told
        assert "sql.read" not in told
        assert told.endswith("All that it may do: moorage grants mail\n")


def test_a_grant_that_a_running_worker_cannot_see_yet_says_so(moorage, host):
    host.add("mail", tasks={}, required=["config.read:**"], optional=["kafka.produce:audit"])
    moorage("grant", "mail", "--required")
    assert moorage("grant", "mail", "kafka.produce:audit").stderr == ""
    moorage("start", "mail")
    assert "stays None until: moorage reload mail" in moorage("grant", "mail", "kafka.produce:audit").stderr
    assert moorage("grant", "mail", "kafka.produce:audit", "--json").stderr == ""
    assert moorage("grant", "mail", "config.read:**").stderr == ""


@pytest.mark.parametrize("arguments", [[], ["sql.read:places", "--required"]])
def test_grant_wants_capabilities_or_required(moorage, arguments):
    result = moorage("grant", "geo-tag", *arguments)
    assert result.exit_code == ExitCode.USAGE
    assert "--required" in result.stderr


def test_what_is_granted_is_told_with_its_meaning(moorage, host):
    host.add("mail", tasks={}, required=["config.read:**"])
    told = moorage("grant", "mail", "--required", "--yes").stdout.splitlines()
    assert told[0].split() == ["CAPABILITY", "GRANTED", "WHY", "IT", "IS", "ASKED", "FOR"]
    (heading,) = [number for number, line in enumerate(told) if "WHAT IT MEANS" in line]
    assert told[heading + 1].split(maxsplit=1) == ["config.read:**", "It means config.read:**."]


def test_rights_in_plain_sentences(moorage, host):
    host.add("mail", tasks={}, required=["config.read:**"], optional=["kafka.produce:audit"])
    moorage("grant", "mail", "--required", "--because", "ticket 7")
    denied = moorage("deny", "mail", "kafka.produce:**", "--because", "INC-7")
    assert "kafka.produce:**" in denied.stdout

    told = moorage("grants", "mail").stdout

    assert "mail may:\n  config.read:**" in told
    assert "    It means config.read:**.\n    required: needs config.read:**" in told
    assert "mail asks for, and may not:\n  kafka.produce:audit  not granted" in told
    assert "Denied, whatever is granted:\n  kafka.produce:**" in told
    assert "DANGEROUS: config.read:**: It is everything." in told
    assert sorted(answer(moorage("grants", "mail", "--json"))) == ["dangers", "denials", "grants"]

    assert answer(moorage("undeny", "mail", "kafka.produce:**", "--json"))["denials"] == []
    assert moorage("undeny", "mail", "kafka.produce:**").exit_code == 66


def test_rights_of_one_that_asks_for_nothing(moorage, host):
    host.add("calm", tasks={})
    assert moorage("grants", "calm").stdout == "calm asks for nothing, and nothing is denied.\n"


def test_what_is_made_of_grants(moorage, host):
    host.plugins["churn"].uses["sql.read:users"] = 4200

    told = moorage("grants", "churn", "--use").stdout

    assert re.search(r"^sql\.read:users +4,200 +2026-11-20 12:00:00$", told, re.MULTILINE)
    assert re.search(r"^kafka\.produce:plugin-topic +0 +never used since 2026-11-20 12:00:00$", told, re.MULTILINE)
    assert "Take back what is not needed: moorage revoke churn 'kafka.produce:plugin-topic'" in told
    assert re.search(r"^KafkaService\.Produce +12 +1 +3,400 +56$", told, re.MULTILINE)
    assert re.search(r"^\(unknown\) +0 +2 ", told, re.MULTILINE)
    assert answer(moorage("grants", "churn", "--use", "--json"))["methods"][0]["calls"] == 12
    assert "geo-tag has made no call since the host started." in moorage("grants", "geo-tag", "--use").stdout


def test_what_is_used_without_a_call_is_not_called_unused(moorage, host):
    rights = ["storage.use:16MiB", "net.private:wiki.example.com", "secrets.read:KEY"]
    host.add("quiet", tasks={}, required=rights).granted.update(dict.fromkeys(rights, "dana"))
    told = moorage("grants", "quiet", "--use").stdout
    assert re.search(r"^storage\.use:16MiB +0 +not counted$", told, re.MULTILINE)
    assert re.search(r"^net\.private:wiki\.example\.com +0 +not counted$", told, re.MULTILINE)
    assert "Take back what is not needed: moorage revoke quiet 'secrets.read:KEY'\n" in told


@pytest.mark.parametrize(
    ("arguments", "reply", "granted"),
    [
        (["config.read:**"], "n\n", False),
        (["config.read:**"], "y\n", True),
        (["config.read:**", "--yes"], "", True),
        (["config.read:from"], "", True),
        (["--optional"], "n\n", False),
    ],
)
def test_a_person_is_asked_about_what_is_dangerous(moorage, host, monkeypatch, arguments, reply, granted):
    monkeypatch.setattr("moorage.cli.commands.grants.is_asked", lambda: True)
    host.add("mail", tasks={}, optional=["config.read:**", "config.read:from"])

    result = moorage("grant", "mail", *arguments, input=reply)

    assert (result.exit_code == 0) is granted
    assert bool(host.plugins["mail"].granted) is granted
    assert ("Grant it to mail?" in result.stdout) is bool(reply)
    if reply:
        assert "DANGEROUS: config.read:**: It is everything." in result.stdout


def test_grant_of_what_is_not_asked_for(moorage):
    result = moorage("grant", "geo-tag", "sql.read:users")
    assert result.exit_code == ExitCode.INVALID
    assert "geo-tag does not ask for sql.read:users." in result.stderr


def test_install(moorage, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "new"\nrequires = ["sql.read:users"]\n')
    result = moorage("install", ".")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == ["new: resolving its dependencies", "new: building its environment"]
    assert "new 1.0.0 is installed." in result.stdout
    assert "moorage grant new --required" in result.stdout
    again = moorage("install", tmp_path, "--name", "mine", "--grant-required", "--json")
    assert answer(again)["grants"][0]["granted"] is True


def test_install_of_what_is_no_plugin(moorage, tmp_path):
    result = moorage("install", tmp_path)
    assert result.exit_code == ExitCode.INVALID
    assert "name the folder of a plugin project" in result.stderr


def test_audit(moorage):
    assert "The audit has no entries." in moorage("audit").stdout
    moorage("start", "churn")
    moorage("stop", "churn")
    first, _second = moorage("audit", "churn").stdout.splitlines()
    assert first.startswith("2026-11-20 12:00:00 action       churn start by ")
    assert [entry["action"] for entry in answer(moorage("audit", "--json"))["items"]] == ["start", "planned_stop"]


def test_the_audit_is_searched_exported_and_followed(moorage, monkeypatch):
    moorage("start", "churn")
    moorage("stop", "churn")
    assert len(moorage("audit", "--kind", "action").stdout.splitlines()) == 2
    assert "no entries" in moorage("audit", "--by", "nobody").stdout
    assert "no entries" in moorage("audit", "--capability", "sql.read:users").stdout
    assert "no entries" in moorage("audit", "--since", "1 s").stdout
    assert len(moorage("audit", "--since", "2026-11-20T11:59").stdout.splitlines()) == 2
    assert moorage("audit", "--since", "yesterday").exit_code == 2

    exported = [json.loads(line) for line in moorage("audit", "churn", "--export").stdout.splitlines()]
    assert [entry["action"] for entry in exported] == ["start", "planned_stop"]

    looks = []

    def look(_seconds):
        looks.append(None)
        if len(looks) == 2:
            raise KeyboardInterrupt
        moorage("start", "churn")

    monkeypatch.setattr("moorage.cli.commands.audit.time.sleep", look)
    followed = moorage("audit", "-f").stdout.splitlines()
    assert [line.split()[4] for line in followed if line] == ["start", "planned_stop", "start"]


def test_whether_the_audit_was_changed(moorage, host, tmp_path):
    whole = moorage("audit", "--verify")
    assert (whole.exit_code, "nothing was changed or taken out" in whole.stdout) == (0, True)
    host.tampered = 7
    broken = moorage("audit", "--verify")
    assert (broken.exit_code, "entry 7 is not what was written" in broken.stdout) == (1, True)

    (tmp_path / "audit.jsonl").write_text("{}\n")
    file = moorage("audit", "--verify", "--file", "audit.jsonl", "--json")
    assert (file.exit_code, json.loads(file.stdout)["broken_at"]) == (1, 1)
    assert moorage("audit", "--file", "audit.jsonl").exit_code == 2
    assert moorage("audit", "--verify", "--file", "nothing").exit_code == 65


def test_where_the_audit_goes(moorage):
    told = moorage("audit", "--sinks").stdout
    assert re.search(r"^store +up +0 +0$", told, re.MULTILINE)
    assert re.search(r"^file +down +2026-11-20 12:00 +7 +12$", told, re.MULTILINE)
    assert "file: [Errno 28] No space left on device" in told
    assert len(answer(moorage("audit", "--sinks", "--json"))["items"]) == 2


def test_top(moorage, host):
    moorage("start", "churn")
    host.usage = {"churn": Usage(3.4, 12.0, 61 << 20, 2, 14, None, None, 70 << 20, 12.2, 0.04)}
    result = moorage("top", "--once")
    assert result.exit_code == 0
    heading, churn, geo = result.stdout.splitlines()
    assert heading.split() == ["INSTALLATION", "STATE", "LEVEL", "CPU", "MEMORY", "CALLS/s", "DENIED/s"]
    assert churn.split() == ["churn", "ready", "full", "3", "%", "61/256", "MiB", "12", "0.0"]
    assert geo.split() == ["geo-tag", "not", "granted"]
    (first, _) = answer(moorage("top", "--json"))["installations"]
    assert (first["usage"]["descriptors"], first["usage"]["read_bytes"]) == (14, None)


def test_show_tells_what_is_used_and_leaves_out_what_may_not_be_read(moorage, host):
    moorage("start", "churn")
    host.usage = {"churn": Usage(3.4, 12.0, 61 << 20, 2, None, None, None, 70 << 20, 12.2, 0.0)}
    text = moorage("show", "churn").stdout
    assert "3 % CPU (12 s in all), 61 MiB memory (at most 70), 2 processes, 12.2 calls/s, 0.0 denied/s" in text


def test_a_direct_kill_needs_no_host(moorage, tmp_path):
    config = tmp_path / "direct.toml"
    config.write_text(f'state_dir = "{tmp_path}/state"\n')
    result = moorage("kill", "churn", "--direct", "--config", str(config))
    assert result.exit_code == ExitCode.NOT_FOUND
    assert "No worker of churn runs, by the records in" in result.output
    assert "--config" in result.output
