"""Embedding by executors: nothing is lost, stored twice or paid for twice, whoever is killed."""

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from own_fixtures import sha256
from own_lake import add_chunks

from vector.embedding import spread
from vector.errors import DatabaseFailed, SpaceBusy


def check(own, space, refused=()):
    """Every chunk has the right vector of its text, once; no text was paid for twice; nothing is left behind."""
    rows = own.rows(space)
    prefix = space.preprocess_policy["document_prefix"]
    assert len(rows) == sum(text not in refused for text in own.texts.values())
    for source, text in own.texts.items():
        if text not in refused:
            assert rows[sha256(f"chunk {source}")] == pytest.approx(own.server.vector(prefix + text).tolist(), abs=1e-6)
    assert own.landing(space).jobs() == []
    pending = f"select count(*) from {own.store.engine.table('embedding_pending')} where embedding_space_id = ?"
    assert own.store.engine.query(pending, [space.embedding_space_id]) == [(0,)]


def wait_for(condition, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def test_all_texts_are_embedded_each_paid_for_once_and_an_equal_one_gets_its_vector(own, monkeypatch):
    space = own.space()
    monkeypatch.setattr(spread, "WAVE", 40)
    done = own.embed(space, batch_size=5)
    assert (done.planned, done.written, done.texts, done.stopped_by) == (120, 120, 100, None)
    assert set(own.times_paid(space).values()) == {1}
    texts = {f"later {number}": own.texts[f"source {number:03d}"] for number in range(5)}
    add_chunks(own.store, texts)
    own.texts.update(texts)
    done = own.embed(space)
    assert (done.planned, done.written, done.reused, done.texts) == (5, 5, 5, 0)
    assert own.embed(space).to_dict().items() >= {"planned": 0, "written": 0, "requests": 0}.items()
    assert set(own.times_paid(space).values()) == {1}
    check(own, space)


def test_a_poison_text_is_quarantined_alone(own):
    space = own.space()
    poison = own.texts["source 042"]
    own.server.misbehave("poison", when=lambda texts: any(poison in text for text in texts))
    done = own.embed(space, batch_size=8)
    refused = [source for source, text in own.texts.items() if text == poison]
    assert (done.quarantined, done.written) == (len(refused), len(own.texts) - len(refused))
    failures = own.store.list_embedding_failures(space.embedding_space_id)
    assert {(each.attempt_count, each.reason) for each in failures} == {(1, "refused")}
    assert {each.chunk_id for each in failures} == {sha256(f"chunk {source}") for source in refused}
    check(own, space, [poison])


def test_money_is_shared_and_what_is_left_is_done_later(own):
    space = own.space(price_per_million_tokens=1_000_000.0)
    own.embed(space, limit=1)  # the canaries are sent together from now on
    # The canaries' 712 by estimate are 334 by the server's count, so something over half of the texts are too dear.
    done = own.embed(space, max_cost=720, batch_size=1)
    assert done.stopped_by == "max_cost"
    assert 0 < done.written < 120
    assert done.cost <= 720
    own.embed(space)
    assert set(own.times_paid(space).values()) == {1}
    check(own, space)


def test_a_storage_error_in_a_merge_loses_nothing_that_was_paid(own, monkeypatch):
    space = own.space()
    engine, insert_new = own.store.engine, own.store.engine.insert_new

    def fails(table, *more, **options):
        if table == "embedding":
            raise DatabaseFailed("the disk is full")
        return insert_new(table, *more, **options)

    monkeypatch.setattr(engine, "insert_new", fails, raising=False)
    with pytest.raises(DatabaseFailed):
        own.embed(space)
    assert own.landed(space) == {sha256(text) for text in own.texts.values()}
    monkeypatch.undo()
    own.embed(space)
    assert set(own.times_paid(space).values()) == {1}
    check(own, space)


def test_what_a_killed_driver_has_landed_is_not_paid_for_again(own):
    space = own.space()
    own.server.misbehave("late", seconds=0.4, when=lambda texts: len(texts) == 2)
    driver = own.driver(space, batch_size=2)
    assert driver.stdout.readline() == "open\n"
    driver.stdin.write("\n")
    driver.stdin.flush()
    wait_for(lambda: len(own.landed(space)) > 20)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    time.sleep(2)  # what is under way comes to its end
    own.server.behave()
    landed = own.landed(space)
    asked = {text for text, times in own.times_paid(space).items() if times}
    assert 20 < len(landed) < 100
    done = own.embed(space)
    assert done.written == len(own.texts)
    paid = own.times_paid(space)
    assert all(paid[text] == 1 for text in paid if sha256(text) in landed)
    # Those under way when the driver died.
    assert sum(times > 1 for times in paid.values()) <= len(asked) - len(landed)
    check(own, space)


def test_a_killed_executor_is_replaced_and_goes_on_where_the_other_was(own):
    space = own.space()
    own.server.misbehave("late", seconds=0.3, when=lambda texts: len(texts) == 2)
    before, landed = set(python_workers()), set()

    def kill():
        wait_for(lambda: len(own.landed(space)) > 20)
        landed.update(own.landed(space))
        for worker in python_workers():
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    done = own.embed(space, batch_size=2)
    killer.join()
    own.server.behave()
    assert before or landed
    assert done.written == len(own.texts)
    paid = own.times_paid(space)
    assert all(paid[text] == 1 for text in paid if sha256(text) in landed)
    assert max(paid.values()) <= 2
    check(own, space)


def test_of_two_drivers_at_once_one_embeds(own):
    space = own.space()
    own.server.misbehave("late", seconds=0.3, when=lambda texts: len(texts) == 2)
    driver = own.driver(space, batch_size=2)
    assert driver.stdout.readline() == "open\n"
    driver.stdin.write("\n")
    driver.stdin.flush()
    wait_for(lambda: own.landing(space).jobs())
    refused = None
    try:
        own.embed(space, batch_size=2)
    except SpaceBusy as error:
        refused = str(error)
    output, errors = driver.communicate(timeout=240)
    # The second to come, whichever that is, is refused; one that comes when all is done finds nothing to do.
    assert not (refused and "SpaceBusy" in errors), errors
    assert "is being embedded into" in (refused or errors)
    assert driver.returncode == (0 if refused else 1)
    own.server.behave()
    assert set(own.times_paid(space).values()) == {1}
    check(own, space)


def test_a_silent_owner_is_dead_and_a_live_one_is_not(own, monkeypatch):
    space = own.space()
    engine = own.store.engine
    of_space = own.landing(space)
    with spread._Claim(own.store, engine, space, of_space) as first:
        from vector.contracts.models import JobStatus, JobType, VectorJob

        def job():
            return VectorJob.create_new(
                JobType.EMBED_CHUNKS, {}, status=JobStatus.RUNNING, embedding_space_id=space.embedding_space_id,
                by_hand_flag=True, locked_by="elsewhere:1",
            )  # fmt: skip

        first.begin(job())
        first.keep()
        with spread._Claim(own.store, engine, space, of_space) as second, pytest.raises(SpaceBusy):
            second.begin(job())
        monkeypatch.setattr(spread, "LEASE", -1.0)
        with spread._Claim(own.store, engine, space, of_space) as third:
            third.begin(job())
            with pytest.raises(SpaceBusy, match="silent for too long"):
                first.keep()
            own.store.save_job(replace(third.job, status=JobStatus.DEADLETTER))
    assert own.landing(space).jobs() == []


def python_workers():
    """The processes of this host that work for executors."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            parent = int((path.parent / "stat").read_text().rpartition(")")[2].split()[1])
            if (
                b"pyspark.daemon" in path.read_bytes()
                and b"pyspark.daemon" in Path(f"/proc/{parent}/cmdline").read_bytes()
            ):
                found.append(int(path.parent.name))
    return found
