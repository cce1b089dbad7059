"""The publish gate, the switch of the live space, and the way back."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_support import run_job
from support import PROJECT_DIR, ScratchProject, posix_only

from vector.contracts.models import JobStatus, PublicationAction, SpacePublication
from vector.embedding import embed_space
from vector.engines.duckdb.engine import DuckDBEngine
from vector.errors import ConfigurationError, PublicationRefused
from vector.evaluation.data_tests import DataTests, run_data_tests
from vector.evaluation.evaluate import evaluate
from vector.evaluation.gate import GateOptions, check_gate, roll_back
from vector.jobs.handlers import retrieve as retrieve_test
from vector.search.policy import SearchPolicy
from vector.spaces.publications import History, default_space, retire, status_of, switch
from vector.store import VectorStore
from vector.wording import SPACES

GREEN = DataTests(passed=40)
QUESTIONS = 9  # of 6 a p-value can be below 0.05, if none of a bad space is answered by chance
SCORE = "nDCG@10 on tiny (dense)"
AGAINST = f"{SCORE}, against hash"


@pytest.fixture
def judged(project: ScratchProject) -> ScratchProject:
    """The project with questions that are texts of chunks, which a hash finds at once: its scores are 1. No space is
    evaluated or published."""
    return judge(project)


def judge(project):
    with project.connect() as connection:
        connection.execute(f"""
            delete from eval_query; delete from eval_judgment; delete from publish_threshold;
            create temp table asked as
                select
                    't' || row_number() over (order by source_id) as query_id, source_id,
                    any_value(content) as content
                from chunk where source_type = 'page' and retired_utc is null
                group by source_id order by source_id limit {QUESTIONS};
            insert into eval_query (query_id, query_text, query_set) select query_id, content, 'tiny' from asked;
            insert into eval_judgment select query_id, source_id, 3 from asked;
            insert into publish_threshold values ('tiny', 'dense', 'nDCG@10', 0.9, 0.02)
        """)
    return project


@pytest.fixture(scope="module")
def evaluated(kept_project, tmp_path_factory):
    """The database of the judged project, whose space is evaluated and passes."""
    kept_project.reset()
    with judge(kept_project).store() as store:
        space = store.get_embedding_space_by_key("hash")
        evaluate(store, space)
        gate = gate_of(store, space)
        assert (gate.passed, gate.live, len(gate.checks)) == (True, None, 4)
    return shutil.copy(kept_project.database_path, tmp_path_factory.mktemp("evaluated"))


@pytest.fixture
def store(judged):
    """A store over the judged project."""
    with judged.store() as opened:
        yield opened


@pytest.fixture
def old(store):
    """The space that is there already, live."""
    space = store.get_embedding_space_by_key("hash")
    switch(store, History.read(store), space, PublicationAction.PUBLISH)
    return space


def made(store, key, **policy):
    """A space of this key with a vector of every chunk. With a prefix before its questions, it finds nothing."""
    space = store.get_or_create_embedding_space("hash", "hash", 16, space_key=key, preprocess_policy=policy or None)
    embed_space(store, space)
    return space


def good(store):
    return made(store, "good")


def bad(store):
    return made(store, "bad", query_prefix="another question: ")


def failing(gate):
    """The checks that fail: what each found, by name."""
    return {check.name: check.detail for check in gate.checks if not check.passed}


def gate_of(store, space, tests=GREEN, **options):
    return check_gate(store, space, tests, GateOptions(**options))


def commands(project, *arguments):
    """The object that a command of `spaces` prints, its exit code and what it tells."""
    done = project.vector("spaces", *arguments, "--json")
    return json.loads(done.stdout or "null"), done.exit_code, done.stderr


@pytest.fixture
def green(monkeypatch):
    """Stands in for dbt, which takes seconds."""
    monkeypatch.setattr("vector.commands.publishing.run_data_tests", lambda *where: GREEN)


# The whole gate, with dbt


@pytest.mark.long
def test_a_good_space_goes_live_and_is_searched(judged):
    with judged.store() as store:
        old, new = store.get_embedding_space_by_key("hash"), good(store)
        switch(store, History.read(store), old, PublicationAction.PUBLISH)
    shown, code, _ = commands(judged, "evaluate", "good", "hash")
    assert (code, [each["mean"]["nDCG@10"] for each in shown["evaluations"]]) == (0, [1.0, 1.0])

    shown, code, told = commands(judged, "publish", "good", "--note", "as good, and longer")
    assert code == 0
    first, *progress = told.splitlines()
    assert first == "running dbt's data tests ..."
    assert all(line.startswith("data tests: ") for line in progress)
    assert (shown["space_key"], shown["live_space_key"], shown["passed"]) == ("good", "hash", True)
    assert [check["name"] for check in shown["checks"]] == ["active", "coverage", "invariants", SCORE, AGAINST]
    figures = {check["name"]: check["figures"] for check in shown["checks"]}
    assert figures["invariants"]["passed"] > 30
    assert figures["invariants"]["failed"] == []
    assert figures["coverage"]["current"] == figures["coverage"]["chunks"] > 400
    assert (figures[SCORE]["mean_score"], figures[SCORE]["query_count"]) == (1.0, QUESTIONS)
    assert figures[AGAINST]["mean_difference"] == 0

    with judged.store() as store:
        first, second = store.list_space_publications()
        assert (second.publication_id, second.publication_number) == (shown["publication_id"], 2)
        assert (second.action, second.embedding_space_id) == (PublicationAction.PUBLISH, new.embedding_space_id)
        assert (second.previous_space_id, first.previous_space_id) == (old.embedding_space_id, None)
        assert (second.note, second.published_by) == ("as good, and longer", first.published_by)
        assert second.evidence["checks"] == shown["checks"]
    listed = {row["space_key"]: row["status"] for row in commands(judged, "list")[0]["rows"]}
    assert listed == {"good": "live", "hash": "superseded"}
    found = json.loads(judged.vector("search", "Which moon has geysers?", "--json").stdout)
    assert found["embedding_space_id"] == new.embedding_space_id
    guards = {"publications_follow_each_other", "live_space_is_covered"}
    assert judged.test("--select", *guards).ended("pass") == guards
    history = commands(judged, "history")[0]["rows"]
    assert [(row["action"], row["space_key"], row["previous_space_key"]) for row in history] == [
        ("publish", "hash", None), ("publish", "good", "hash"),
    ]  # fmt: skip


@pytest.mark.long
def test_a_red_invariant_is_named_and_keeps_the_space_out(judged):
    with judged.connect() as connection:
        connection.execute(
            "update chunk set content = content || ' ' where chunk_id = (select min(chunk_id) from chunk);"
            " update embedding set truncated_flag = true"
        )
    assert judged.vector("spaces", "evaluate", "hash").exit_code == 0
    shown, code, told = commands(judged, "publish", "hash")
    assert (code, shown["published"]) == (4, False)
    (check,) = [check for check in shown["checks"] if not check["passed"]]
    assert check["figures"]["failed"] == ["sha256_matches_chunk_content_sha256__content"]
    assert check["figures"]["warned"] == ["few_texts_are_truncated"]
    assert "sha256_matches_chunk_content_sha256__content" in check["detail"]
    assert told.splitlines()[-1].startswith("error: hash is not good enough to go live: invariants")
    assert judged.query("select count(*) from space_publication") == [(0,)]

    shown, code, _ = commands(judged, "publish", "hash", "--skip-tests", "--note", "the text is being mended")
    assert (code, shown["published"], shown["options"]["skip_tests"]) == (0, True, True)
    assert json.loads(judged.query("select evidence_json from space_publication")[0][0])["options"]["skip_tests"]


@pytest.mark.long
def test_a_dbt_that_cannot_run_is_no_green_light(judged, tmp_path, monkeypatch):
    """Python files in the working directory are not why: they are none of dbt's."""
    (tmp_path / "html.py").write_text("raise SystemExit(77)")
    monkeypatch.chdir(tmp_path)
    judged.edit("dbt_project.yml", "config-version: 2", "config-version: 3")
    with pytest.raises(ConfigurationError, match="dbt could not run: .*version=3"):
        run_data_tests(judged.folder, judged.folder, "duckdb")


@pytest.mark.long
def test_a_warning_is_told_and_passes(judged):
    with judged.connect() as connection:
        connection.execute("update embedding set truncated_flag = true")
    tests = run_data_tests(judged.folder, judged.folder, "duckdb")
    assert (tests.failed, tests.warned) == ((), ("few_texts_are_truncated",))
    with judged.store() as store:
        gate = gate_of(store, store.get_embedding_space_by_key("hash"), tests)
    (check,) = [check for check in gate.checks if check.name == "invariants"]
    assert check.passed
    assert "1 warned: few_texts_are_truncated; few_texts_are_truncated: of space hash, " in check.detail
    assert "the whole text of 100.0 percent of the chunks" in check.detail


# Each check, failing and passing


ONE = "where chunk_id = (select min(chunk_id) from chunk) and embedding_space_id = (select embedding_space_id from"
ONE += " embedding_space where space_key = 'hash')"
QUARANTINED = f"""
    delete from embedding {ONE};
    insert into embedding_failure by name select uuid() as embedding_failure_id, chunk_id, embedding_space_id,
        input_content_sha256, 'too_long' as reason, 'x' as error_message, 1 as attempt_count, now() as created_utc,
        now() as last_failed_utc from embedding_pending
"""
A_QUESTION = "(select retrieval_id from retrieval where eval_query_id = 't3')"
LATER = "(select max(created_utc) + interval 1 second from retrieval)"


@pytest.mark.parametrize(
    ("happened", "check", "detail"),
    [
        ("update embedding_space set is_active = false", "active", "new chunks get no vector"),
        (f"delete from embedding {ONE}", "coverage", "477 of 478 current chunks have a vector, 1 pending: run"),
        (QUARANTINED, "coverage", "1 quarantined: see `vector failures`, or --allow-quarantined"),
        ("delete from publish_threshold", "evaluation", "no threshold says what is good enough for tiny"),
        ("update publish_threshold set query_set = 'big'", "nDCG@10 on big (dense)", "big has no judged question"),
        ("update publish_threshold set search_method = 'hybrid'", "nDCG@10 on tiny (hybrid)", "no evaluation of all"),
        ("update publish_threshold set metric = 'nDCG@5'", "nDCG@5 on tiny (dense)", "nDCG@5 is not a metric"),
        ("update publish_threshold set min_score = null", SCORE, "min_score is empty: correct seeds/"),
        ("update publish_threshold set metric = null, query_set = null", "? on ? (dense)",
         "query_set and metric are empty: correct seeds/"),
        ("update publish_threshold set min_score = 1.01", SCORE, "1.000 (95% 1.000 to 1.000, 9 questions); at least"),
        ("delete from retrieval_hit; delete from retrieval", SCORE, "no evaluation of all"),
        (f"delete from retrieval_hit where retrieval_id = {A_QUESTION};"
         " delete from retrieval where eval_query_id = 't3'", SCORE, "no evaluation of all"),
        ("update eval_query set query_text = 'in other words' where query_id = 't3'", SCORE, "no evaluation of all"),
        ("""update retrieval set filters_json = '{"source_type":["page"]}' where eval_query_id is not null""",
         SCORE, "no evaluation of all"),
        (f"update embedding set created_utc = {LATER} {ONE}", SCORE, "run `vector spaces evaluate hash`"),
        (f"update chunk set retired_utc = {LATER}, updated_utc = {LATER}"
         " where chunk_id = (select max(chunk_id) from chunk)", SCORE, "and what it finds changed at"),
    ],
)  # fmt: skip
def test_what_keeps_a_space_out(evaluated, project, happened, check, detail):
    """Before it happened, the space passes."""
    shutil.copy(evaluated, project.database_path)
    with project.store() as store:
        for statement in happened.split(";"):
            store.engine.connection.execute(statement)
        gate = gate_of(store, store.get_embedding_space_by_key("hash"))
    assert list(failing(gate)) == [check]
    assert detail in failing(gate)[check]


def test_a_space_without_any_chunk_is_kept_out(store):
    space = store.get_embedding_space_by_key("hash")
    store.engine.execute("update chunk set retired_utc = created_utc")
    assert "0 of 0" in failing(gate_of(store, space))["coverage"]


def test_quarantined_texts_may_be_let_pass(store):
    space = store.get_embedding_space_by_key("hash")
    for statement in QUARANTINED.split(";"):
        store.engine.execute(statement)
    evaluate(store, space)
    gate = gate_of(store, space, allow_quarantined=True)
    assert gate.passed
    (check,) = [check for check in gate.checks if check.name == "coverage"]
    assert check.figures == {"chunks": 478, "current": 477, "pending": 0, "quarantined": 1}
    assert gate.evidence()["options"]["allow_quarantined"] is True


NOW = "cast(now() at time zone 'UTC' as timestamp)"
PAGE = "'page'"
THAT_CHUNK = ONE.partition(" and")[0]
EDITED = f"""
    update chunk set content = 'edited', content_sha256 = sha256('edited'), updated_utc = {NOW} {THAT_CHUNK};
    insert into chunk_version select chunk_id, content_sha256, content, updated_utc from chunk where content = 'edited';
    {QUARANTINED.partition(";")[2]}
"""


def test_a_text_that_was_edited_and_refused_is_found_no_more(store):
    """Its old vector is no longer searched, and there is no new one that would tell when that came about."""
    space = store.get_embedding_space_by_key("hash")
    evaluate(store, space)
    before = store.engine.query(f"select content, content_sha256 from chunk {THAT_CHUNK}")[0]
    for statement in EDITED.split(";"):
        store.engine.execute(statement)
    assert "changed at" in failing(gate_of(store, space, allow_quarantined=True))[SCORE]
    evaluate(store, space)
    assert gate_of(store, space, allow_quarantined=True).passed
    # With its text of before, its vector of before is found again.
    store.engine.execute(
        f"update chunk set content = ?, content_sha256 = ?, updated_utc = {NOW} where content = 'edited'", before
    )
    assert "changed at" in failing(gate_of(store, space))[SCORE]


def test_a_new_text_without_a_vector_changes_no_answer(store):
    space = store.get_embedding_space_by_key("hash")
    for statement in QUARANTINED.split(";"):
        store.engine.execute(statement)
    evaluate(store, space)
    store.engine.execute(f"update chunk set updated_utc = {LATER} {THAT_CHUNK}")
    assert gate_of(store, space, allow_quarantined=True).passed


def test_no_text_may_be_merely_pending_for_being_quarantined_elsewhere(store):
    space = store.get_embedding_space_by_key("hash")
    store.engine.execute(f"delete from embedding {ONE}")
    assert list(failing(gate_of(store, space, allow_quarantined=True))) == ["coverage", SCORE]


def test_the_invariants_must_be_green(evaluated, project):
    shutil.copy(evaluated, project.database_path)
    with project.store() as store:
        space = store.get_embedding_space_by_key("hash")
        for tests in (GREEN, DataTests(40, warned=("a",)), None):
            assert gate_of(store, space, tests).passed, tests
        for tests in (DataTests(40, failed=("a",)), DataTests(0)):
            assert not gate_of(store, space, tests).passed, tests


def test_without_questions_there_is_nothing_to_measure(store):
    store.engine.execute("delete from publish_threshold")
    store.engine.execute("update eval_judgment set relevance = 0")
    gate = gate_of(store, store.get_embedding_space_by_key("hash"))
    assert gate.passed
    assert "nothing to measure" in gate.checks[-1].detail


def test_seeds_that_are_not_built_are_named(store):
    store.engine.execute("drop view publish_threshold_input")
    with pytest.raises(ConfigurationError, match="publish_threshold_input is not built; run `dbt build`"):
        gate_of(store, store.get_embedding_space_by_key("hash"))


# Against the live space


def loosely(store, max_loss):
    """No threshold but that against the live space."""
    store.engine.execute("update publish_threshold set min_score = 0, max_loss = ?", [max_loss])


@pytest.mark.parametrize(("max_loss", "passed"), [(0.02, False), (None, False), (1, True)])
@pytest.mark.long
def test_a_worse_space_is_kept_out(store, old, max_loss, passed):
    worse = bad(store)
    evaluate(store, worse)
    evaluate(store, old)
    loosely(store, max_loss)
    gate = gate_of(store, worse)
    assert list(failing(gate)) == ([] if passed else [AGAINST])
    assert "hash is better" in gate.checks[-1].detail
    assert gate.checks[-1].figures["mean_difference"] < -0.5
    # As the mart has it, whose row was stored when the live space was evaluated after the other one.
    names = "space_key_a, verdict, -mean_difference, -ci_lower, -ci_upper, p_value"
    ((key, verdict, *mart),) = store.engine.query(f"select {names} from space_comparison where metric = 'nDCG@10'")
    figures = gate.checks[-1].figures
    assert (key, verdict) == ("bad", "B better")
    assert mart == pytest.approx([figures[name] for name in ("mean_difference", "ci_upper", "ci_lower", "p_value")])
    assert gate_of(store, worse, skip_comparison=True).passed


def test_a_loss_that_may_be_chance_passes_only_where_no_limit_is_given(store, old):
    new = good(store)
    evaluate(store, old)
    evaluate(store, new)
    # The new space loses one question: its hits are those of another question.
    store.engine.execute(
        "delete from retrieval_hit where retrieval_id in (select retrieval_id from retrieval where eval_query_id = 't1'"
        " and embedding_space_id = ?)",
        [new.embedding_space_id],
    )
    loosely(store, None)
    gate = gate_of(store, new)
    assert gate.passed
    assert "not distinguishable" in gate.checks[-1].detail
    assert gate.checks[-1].figures["mean_difference"] == pytest.approx(-1 / QUESTIONS)
    loosely(store, 1 / QUESTIONS - 1e-6)
    assert list(failing(gate_of(store, new))) == [AGAINST]
    loosely(store, 1 / QUESTIONS + 1e-6)
    assert gate_of(store, new).passed


@pytest.mark.parametrize(
    ("happened", "detail"),
    [
        ("", "hash has not been asked the judged questions in the same way: run `vector spaces evaluate hash`"),
        ("another number of hits", "has not been asked"),
        ("one question", "has not been asked"),
        ("changed", "hash was evaluated at"),
    ],
)
@pytest.mark.long
def test_the_live_space_must_have_been_asked_the_same(store, old, happened, detail):
    new = good(store)
    if happened == "another number of hits":
        evaluate(store, old, top_k=30)
    elif happened:
        evaluate(store, old)
    evaluate(store, new)
    if happened == "one question":
        of_old = f"(select retrieval_id from retrieval where embedding_space_id = '{old.embedding_space_id}'"
        of_old += " and eval_query_id <> 't1')"
        store.engine.execute(f"delete from retrieval_hit where retrieval_id in {of_old}")
        store.engine.execute(f"delete from retrieval where retrieval_id in {of_old}")
    if happened == "changed":
        store.engine.execute(f"update embedding set created_utc = {LATER} {ONE}")
    gate = gate_of(store, new)
    assert list(failing(gate)) == [AGAINST]
    assert detail in failing(gate)[AGAINST]


@pytest.mark.parametrize("policy", [SearchPolicy(), SearchPolicy("hybrid", per_source=1, pool=7)], ids=str)
def test_an_evaluation_by_a_special_policy_says_nothing_of_the_plain_one(store, old, policy):
    new = good(store)
    for space in (new, old):
        evaluate(store, space, policy=policy)
    store.engine.execute("update publish_threshold set search_method = ?", [policy.mode])
    (missing,) = failing(gate_of(store, new)).values()
    assert f"no evaluation of all {QUESTIONS} judged questions" in missing


@pytest.mark.long
def test_a_special_evaluation_neither_replaces_nor_meets_the_plain_one(store, old):
    """Whether it comes before or after, and in whichever space."""
    new, worse, policy = good(store), bad(store), SearchPolicy(mmr=0.5, per_source=1)
    for space in (new, worse, old):
        evaluate(store, space)
        evaluate(store, space, policy=policy)
    gate = gate_of(store, new)
    assert gate.passed
    assert gate.checks[-2].figures["mean_score"] == 1
    assert list(failing(gate_of(store, worse))) == [SCORE, AGAINST]
    # The live space was asked in the other way alone.
    plain = store.engine.query(
        "select retrieval_id from eval_retrieval where space_key = 'hash' and asked_policy_json = ?",
        ['{"method":"dense","per_source":1}'],
    )
    assert len(plain) == QUESTIONS
    searches = f"retrieval_id in ({', '.join(repr(retrieval_id) for (retrieval_id,) in plain)})"
    store.engine.execute(f"delete from retrieval_hit where {searches}")
    store.engine.execute(f"delete from retrieval where {searches}")
    assert "has not been asked" in failing(gate_of(store, new))[AGAINST]


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
@pytest.mark.long
def test_a_threshold_of_another_method_wants_an_evaluation_by_it(judged, mode):
    """The hint is the command that helps. A lexical evaluation opens no model."""
    name = f"nDCG@10 on tiny ({mode})"
    with judged.store() as store:
        switch(store, History.read(store), store.get_embedding_space_by_key("hash"), PublicationAction.PUBLISH)
        new = good(store)
        store.engine.execute("update publish_threshold set search_method = ?, min_score = 0.5", [mode])
        detail = failing(gate_of(store, new))[name]
    assert detail.endswith(f"run `vector spaces evaluate good --mode {mode}`")
    assert judged.vector("spaces", *detail.partition("vector spaces ")[2].rstrip("`").split()).exit_code == 0
    with judged.store() as store:
        detail = failing(gate_of(store, new))[f"{name}, against hash"]
    assert f"run `vector spaces evaluate hash --mode {mode}`" in detail
    assert judged.vector("spaces", "evaluate", "hash", "--mode", mode).exit_code == 0
    with judged.store() as store:
        assert gate_of(store, new).passed


def test_a_threshold_of_no_method_says_so(store):
    store.engine.execute("update publish_threshold set search_method = 'bm25'")
    gate = gate_of(store, store.get_embedding_space_by_key("hash"))
    assert "bm25 is no search method (dense, lexical, hybrid)" in failing(gate)["nDCG@10 on tiny (bm25)"]


def test_an_evaluation_of_the_live_space_need_not_be_younger_than_the_new_space(store, old):
    evaluate(store, old)
    new = good(store)
    evaluate(store, new)
    assert gate_of(store, new).passed


# The switch


def test_sessions_race_and_readers_always_find_one_live_space(store, old):
    """Four sessions switch at once, twenty times; a fifth looks on. One wins each time, and nobody sees none."""
    spaces = [made(store, f"rival {i}", template=f"{i} {{text}}") for i in range(4)]
    before, connection, rounds = History.read(store), store.engine.connection, 20
    barrier, seen, lost, done = threading.Barrier(len(spaces)), set(), [], threading.Event()

    def session():
        cursor = connection.cursor()
        cursor.execute("use warehouse.vector")
        return VectorStore(engine=DuckDBEngine(cursor))

    def compete(space):
        mine = session()
        for _ in range(rounds):
            barrier.wait(timeout=30)
            history = History.read(mine)
            barrier.wait(timeout=30)
            try:
                switch(mine, history, space, PublicationAction.PUBLISH)
            except PublicationRefused:
                lost.append(space)

    def watch():
        mine = session()
        while not done.is_set():
            live = mine.engine.query("select space_key from space_status where status = 'live'")
            seen.add(len(live))

    rivals = [threading.Thread(target=compete, args=(space,)) for space in spaces]
    watcher = threading.Thread(target=watch)
    watcher.start()
    for thread in rivals:
        thread.start()
    for thread in rivals:
        thread.join()
    done.set()
    watcher.join()
    assert seen == {1}
    assert len(lost) == rounds * (len(spaces) - 1)
    publications = store.list_space_publications()
    assert [each.publication_number for each in publications] == list(range(1, rounds + 2))
    assert [each.previous_space_id for each in publications[1:]] == [
        each.embedding_space_id for each in publications[:-1]
    ]
    with pytest.raises(PublicationRefused, match=r"wrote publication 2 meanwhile \(publish by .*\); look at"):
        switch(store, before, spaces[0], PublicationAction.PUBLISH)


KILLED = """
import os, signal, sys
from vector import cli
from vector.store import VectorStore
from vector.evaluation.data_tests import DataTests
save = VectorStore.save_space_publication
def killed(self, publication):
    if {after}:
        save(self, publication)
    os.kill(os.getpid(), signal.SIGKILL)
VectorStore.save_space_publication = killed
cli.main(sys.argv[1:])
"""


@posix_only
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.long
def test_a_killed_publication_happened_or_did_not(judged, after):
    with judged.store() as store:
        old, new = store.get_embedding_space_by_key("hash"), good(store)
        switch(store, History.read(store), old, PublicationAction.PUBLISH)
        evaluate(store, old)
        evaluate(store, new)
    where = ["--project-dir", str(judged.folder), "--profiles-dir", str(judged.folder)]
    publish = ["spaces", "publish", "good", "--skip-tests", "--note", "a test"]
    process = subprocess.run(
        [sys.executable, "-c", KILLED.format(after=after), *publish, *where],
        env={**os.environ, "PYTHONPATH": str(PROJECT_DIR / "scripts")},
        capture_output=True,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    with judged.store() as store:
        assert default_space(store).space_key == ("good" if after else "hash")
        assert len(store.list_space_publications()) == 1 + after
    again = judged.vector(*publish)
    assert (again.exit_code, "live already" in again.stdout) == (0, after)
    assert judged.query("select space_key from space_status where status = 'live'") == [("good",)]


# The way back


def test_rollbacks_go_back_one_publication_each(store, old):
    first, second = good(store), bad(store)
    for space in (first, second):
        switch(store, History.read(store), space, PublicationAction.PUBLISH)
    for expected in (first, old):
        space, publication, warnings = roll_back(store, "found wanting")
        assert (space.space_key, warnings) == (expected.space_key, [])
        assert (publication.action, publication.note) == (PublicationAction.ROLLBACK, "found wanting")
        assert publication.previous_space_id != space.embedding_space_id
        assert default_space(store) == space
    with pytest.raises(PublicationRefused, match="no space to go back to"):
        roll_back(store)
    switch(store, History.read(store), second, PublicationAction.PUBLISH)
    assert roll_back(store)[0].space_key == "hash"
    assert [each.publication_number for each in store.list_space_publications()] == list(range(1, 8))


def test_a_rollback_to_a_space_that_fell_behind_warns(judged):
    with judged.store() as store:
        old = store.get_embedding_space_by_key("hash")
        for space in (old, good(store)):
            switch(store, History.read(store), space, PublicationAction.PUBLISH)
        store.engine.execute(f"delete from embedding {ONE}")
        store.engine.execute("update embedding_space set is_active = false where space_key = 'hash'")
    shown, code, told = commands(judged, "rollback", "--note", "in haste")
    assert (code, shown["space_key"], shown["action"]) == (0, "hash", "rollback")
    assert len(shown["warnings"]) == 2
    assert "477 of 478 current chunks" in told
    assert "it is inactive" in told
    # An inactive space that is live is searched, by default and by name.
    for named in ([], ["--space", "hash"]):
        found = json.loads(judged.vector("search", "Which moon has geysers?", "--json", *named).stdout)
        assert found["embedding_space_id"] == old.embedding_space_id
    assert "live_space_is_covered" in judged.test("--select", "live_space_is_covered").ended("warn")


def test_a_rollback_to_nothing_is_refused(store, old):
    switch(store, History.read(store), good(store), PublicationAction.PUBLISH)
    store.engine.execute("delete from embedding where embedding_space_id = ?", [old.embedding_space_id])
    with pytest.raises(PublicationRefused, match="hash has no current vector"):
        roll_back(store)
    assert default_space(store).space_key == "good"


def test_a_draft_is_retired_and_can_still_be_published(judged, green):
    with judged.store() as store:
        new = good(store)
        evaluate(store, new)
        evaluate(store, store.get_embedding_space_by_key("hash"))
    assert commands(judged, "publish", "hash")[1] == 0
    shown, code, told = commands(judged, "retire", "good")
    assert (code, shown["action"], shown["publication_number"]) == (0, "retire", 2)
    assert "good is still active" in told
    assert commands(judged, "retire", "good")[0]["publication_id"] is None
    shown, code, told = commands(judged, "retire", "hash")
    assert (code, told) == (4, "error: space hash is the one that search uses; publish another one first\n")
    assert commands(judged, "publish", "good")[1] == 0
    assert judged.query("select space_key, status from space_status order by 1") == [
        ("good", "live"), ("hash", "superseded"),
    ]  # fmt: skip
    assert judged.test("--select", "publications_follow_each_other").ended("pass")


def test_a_rollback_goes_back_to_the_last_space_that_was_not_retired(store, old):
    first, second, third = good(store), made(store, "second", template="2 {text}"), bad(store)
    for space in (first, second, old, third):
        switch(store, History.read(store), space, PublicationAction.PUBLISH)
    assert retire(store, old, "the licence ended").note == "the licence ended"
    assert retire(store, second).previous_space_id is None
    assert retire(store, second) is None
    space, publication, _ = roll_back(store)
    assert (space, publication.previous_space_id) == (first, third.embedding_space_id)
    assert default_space(store) == first
    with pytest.raises(PublicationRefused, match="no space to go back to that was not retired"):
        roll_back(store)
    # Through the gate, a space comes back for good.
    switch(store, History.read(store), second, PublicationAction.PUBLISH)
    switch(store, History.read(store), third, PublicationAction.PUBLISH)
    assert roll_back(store)[0] == second
    assert roll_back(store)[0] == first


def test_a_rollback_does_not_go_to_the_space_that_is_live(store, old):
    """Between the two publications of the live space is one of a retired space."""
    first, second = good(store), bad(store)
    for space in (first, old, second, old):
        switch(store, History.read(store), space, PublicationAction.PUBLISH)
    retire(store, second)
    assert roll_back(store)[0] == first


@given(st.lists(st.tuples(st.sampled_from(["publish", "rollback", "retire"]), st.sampled_from("abcd")), max_size=20))
def test_the_way_back_leads_to_earlier_spaces_that_were_not_retired(wishes):
    """Whatever was done, as far as it may be done: the latest switch is live, and rollbacks come to an end."""
    rows = []

    def add(action, space):
        rows.append(SpacePublication.create_new(len(rows) + 1, space, action, "w"))

    for wish, space in wishes:
        history, action = History(tuple(rows)), PublicationAction(wish)
        target = history.rollback_space_id if action is PublicationAction.ROLLBACK else space
        if target not in (None, history.live_space_id):
            add(action, target)
    latest = {row.embedding_space_id: row.action for row in rows}
    retired = {space for space, action in latest.items() if action is PublicationAction.RETIRE}
    visited = []
    while True:
        history = History(tuple(rows))
        switches = [row.embedding_space_id for row in rows if row.action is not PublicationAction.RETIRE]
        assert history.live_space_id == (switches[-1] if switches else None)
        if history.rollback_space_id is None:
            break
        assert history.rollback_space_id not in retired | {history.live_space_id}
        visited.append(history.rollback_space_id)
        add(PublicationAction.ROLLBACK, history.rollback_space_id)
    assert len(visited) <= len(wishes)


def test_a_superseded_space_is_retired_for_good(judged):
    with judged.store() as store:
        for space in (store.get_embedding_space_by_key("hash"), good(store)):
            switch(store, History.read(store), space, PublicationAction.PUBLISH)
    query = "select status from space_status where space_key = 'hash'"
    assert judged.query(query) == [("superseded",)]
    shown, code, told = commands(judged, "retire", "hash", "--note", "the licence ended")
    assert (code, shown["action"], shown["publication_number"]) == (0, "retire", 3)
    assert judged.query(query) == [("retired",)]
    assert commands(judged, "history")[0]["rows"][-1]["note"] == "the licence ended"
    again = judged.vector("spaces", "retire", "hash", "--note", "once more")
    assert (again.exit_code, again.stdout) == (0, "hash is retired already; nothing was recorded\n")
    assert {row["space_key"]: row["status"] for row in commands(judged, "list")[0]["rows"]} == {
        "good": "live", "hash": "retired",
    }  # fmt: skip
    shown, code, told = commands(judged, "rollback")
    assert (code, shown["exit_code"], told) == (4, 4, f"error: {shown['error']}\n")
    assert "no space to go back to that was not retired" in told
    assert judged.query("select space_key from space_status where is_default") == [("good",)]
    assert judged.test("--select", "publications_follow_each_other").ended("pass")


def test_the_space_that_search_uses_is_not_retired_though_none_was_published(store):
    with pytest.raises(PublicationRefused, match="hash is the one that search uses"):
        retire(store, store.get_embedding_space_by_key("hash"))


# What search uses


def test_search_uses_the_live_space_and_before_that_the_only_active_one(judged):
    def searched(*arguments):
        done = judged.vector("search", "Which moon has geysers?", "--json", *arguments)
        return json.loads(done.stdout)["embedding_space_id"] if done.exit_code == 0 else done.stderr

    with judged.store() as store:
        old = store.get_embedding_space_by_key("hash")
        assert (default_space(store), status_of(store, old)) == (old, "draft")
    assert searched() == old.embedding_space_id
    with judged.store() as store:
        new = good(store)
        assert default_space(store) is None
    assert "several spaces are active; choose one with --space: good, hash" in searched()
    with judged.store() as store:
        switch(store, History.read(store), old, PublicationAction.PUBLISH)
    assert searched() == old.embedding_space_id
    assert searched("--space", "good") == new.embedding_space_id
    assert "no space is called 'none'; spaces are good, hash" in searched("--space", "none")


def test_a_retired_space_is_searched_only_by_its_name(judged):
    def searched(*arguments):
        done = judged.vector("search", "Which moon has geysers?", "--json", *arguments)
        return json.loads(done.stdout)["embedding_space_id"] if done.exit_code == 0 else (done.exit_code, done.stderr)

    with judged.store() as store:
        old, new = store.get_embedding_space_by_key("hash"), good(store)
        retire(store, old, "bad model")
        assert default_space(store) == new
    assert searched() == new.embedding_space_id
    with judged.store() as store:
        store.save_embedding_space(replace(new, is_active=False))
        assert default_space(store) is None
    code, told = searched()
    assert code == 2
    assert "every active space is retired (hash): publish one, or name it by --space" in told
    assert searched("--space", "hash") == old.embedding_space_id
    with judged.store() as store:
        retire(store, new)
        store.save_embedding_space(new)
    assert "every active space is retired (good, hash): publish one, or name it by --space" in searched()[1]


# The commands


def test_a_dry_run_switches_nothing(judged, green):
    shown, code, told = commands(judged, "publish", "hash", "--dry-run")
    assert (code, shown["passed"], shown["published"]) == (4, False, False)
    assert commands(judged, "evaluate", "hash")[1] == 0
    shown, code, told = commands(judged, "publish", "hash", "--dry-run")
    assert (code, shown["passed"], shown["published"], shown["publication_id"], told) == (
        0, True, False, None, "running dbt's data tests ...\n",
    )  # fmt: skip
    assert "would go live" in judged.vector("spaces", "publish", "hash", "--dry-run").stdout
    assert judged.query("select count(*) from space_publication") == [(0,)]


def test_a_space_that_is_live_is_not_published_again(judged, green):
    commands(judged, "evaluate", "hash")
    assert judged.vector("spaces", "publish", "hash").stdout.endswith("hash is live\n")
    done = judged.vector("spaces", "publish", "hash")
    assert (done.exit_code, done.stdout) == (0, "hash is live already; nothing to do\n")
    assert judged.query("select count(*) from space_publication") == [(1,)]


@pytest.mark.parametrize("option", ["--skip-tests", "--skip-comparison"])
def test_what_relaxes_the_gate_needs_a_reason(judged, option):
    done = judged.vector("spaces", "publish", "hash", option)
    assert done.exit_code == 2
    assert "need --note" in done.stderr


@pytest.mark.parametrize("command", ["publish", "retire", "evaluate"])
def test_an_unknown_space_is_told_at_once(judged, command):
    done = judged.vector("spaces", command, "none")
    assert (done.exit_code, done.stderr) == (2, "error: no space is called 'none'; spaces are hash\n")


@pytest.mark.parametrize(
    ("happened", "counts", "warned"),
    [
        ("select 1", (478, 478, 0, 0), None),
        ("delete from embedding", (478, 0, 478, 0),
         "0 of 478 current chunks have a vector, 478 pending: run `vector embed --space hash`"),
        (QUARANTINED, (478, 477, 0, 1),
         "477 of 478 current chunks have a vector, 1 quarantined: see `vector failures`"),
        ("update chunk set retired_utc = created_utc", (0, 0, 0, 0), "0 of 0 current chunks have a vector"),
    ],
)  # fmt: skip
def test_an_evaluation_of_a_space_with_gaps_warns(judged, happened, counts, warned):
    """Without vectors every score is 0, which says nothing of the model."""
    with judged.store() as store:
        for statement in happened.split(";"):
            store.engine.execute(statement)
    shown, code, told = commands(judged, "evaluate", "hash")
    (evaluation,) = shown["evaluations"]
    expected = dict(zip(("chunks", "current", "pending", "quarantined"), counts, strict=True))
    assert (code, evaluation["coverage"]) == (0, expected)
    assert told == (f"warning: hash: {warned}; a text without a vector is not found\n" if warned else "")
    with judged.store() as store:
        assert store.get_run(evaluation["run_id"]).metrics["coverage"] == expected


def test_the_gaps_of_an_inactive_space_are_not_closed_by_a_command_that_is_refused(judged, green):
    with judged.store() as store:
        store.save_embedding_space(replace(store.get_embedding_space_by_key("hash"), is_active=False))
        store.engine.execute("delete from embedding")
    mend = f"478 pending: set is_active in {SPACES}, `dbt build`, then `vector embed --space hash`"
    assert mend in commands(judged, "evaluate", "hash")[2]
    (detail,) = [
        each["detail"] for each in commands(judged, "publish", "hash")[0]["checks"] if each["name"] == "coverage"
    ]
    assert mend in detail


def test_the_coverage_of_a_filtered_test_is_of_what_it_may_find(store):
    given = retrieve_test.validate({"space_key": "hash", "source_types": ["page"]})
    store.engine.execute(f"delete from embedding {ONE.replace('from chunk', f'from chunk where source_type = {PAGE}')}")
    ((pages,),) = store.engine.query(f"select count(*) from chunk where source_type = {PAGE}")
    assert run_job(store, retrieve_test, "RETRIEVE_TEST", given)["coverage"] == {
        "chunks": pages, "current": pages - 1, "pending": 1, "quarantined": 0
    }  # fmt: skip


def test_hits_of_few_sources_do_not_pass_for_deep_enough(store):
    """As many hits as R@100 wants, of fewer sources, since a source may have several; R@100 would be too low."""
    space = store.get_embedding_space_by_key("hash")
    store.engine.execute("update publish_threshold set metric = 'R@100'")
    evaluate(store, space, top_k=100, policy=SearchPolicy())
    assert "for 100 hits, one a source" in failing(gate_of(store, space))["R@100 on tiny (dense)"]
    evaluate(store, space)
    assert gate_of(store, space).passed


def test_the_number_of_hits_a_source_is_an_option(judged):
    shown, code, _ = commands(judged, "evaluate", "hash")
    assert (code, shown["evaluations"][0]["policy"]["per_source"]) == (0, 1)
    assert commands(judged, "evaluate", "hash", "--per-source", "3")[0]["evaluations"][0]["policy"]["per_source"] == 3
    shown, code, _ = commands(judged, "evaluate", "hash", "--per-source", "none", "--top-k", "5")
    assert (code, shown["evaluations"][0]["policy"]) == (0, {"method": "dense"})
    assert list(shown["evaluations"][0]["mean"]) == ["RR"], "no metric looks deeper than the search"
    with pytest.raises(SystemExit, match="2"):
        judged.vector("spaces", "evaluate", "hash", "--per-source", "no")


def test_an_evaluation_is_a_run(judged):
    (shown,) = commands(judged, "evaluate", "hash", "--query-set", "tiny", "--top-k", "12")[0]["evaluations"]
    assert (shown["query_set"], shown["top_k"], shown["query_count"]) == ("tiny", 12, QUESTIONS)
    with judged.store() as store:
        run = store.get_run(shown["run_id"])
        job = store.get_job(run.job_id)
        assert (job.status, run.metrics["mean"]) == (JobStatus.SUCCEEDED, shown["mean"])
        store.engine.execute("delete from eval_judgment")
    done = judged.vector("spaces", "evaluate", "hash")
    assert (done.exit_code, "has a relevant judgment" in done.stderr) == (2, True)
    assert judged.query(
        "select status from run where job_id in (select job_id from job where status = 'DEADLETTER')"
    ) == [("FAILED",)]
