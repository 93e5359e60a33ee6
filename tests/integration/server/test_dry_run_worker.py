"""The worker of /dry-run survives any question, and answers the next one."""

import json

from tests.support.dry_run_questions import QUESTIONS
from tests.support.sample_pods import pod, vmsingle
from tests.support.server import serving


def _next_is_answered(server):
    return server.dry_run(pod())[0] == 200


def test_the_worker_survives_all_of_it_and_answers_the_next_question(tmp_path):
    with serving(tmp_path, vmsingle()[1]) as server:
        for name, (status, body) in QUESTIONS.items():
            code, _, answered = server.ask("POST", "/dry-run", body, "application/yaml")
            assert code in {status, 429}, (name, answered)
            assert _next_is_answered(server), f"after {name}"
        assert server.lines()[-1]["message"] == "serving", "nothing was logged since"


def test_after_a_question_that_is_too_much_work_the_next_is_answered(tmp_path):
    thing = vmsingle()[0]
    thing["spec"] = {"containers": [{"name": "vmsingle"}] * 22_000}
    with serving(tmp_path, vmsingle()[1]) as server:
        code, _, answered = server.ask("POST", "/dry-run", json.dumps(thing, separators=(",", ":")).encode())
        assert code in {200, 400, 422, 429}
        assert "Traceback" not in str(answered)
        assert _next_is_answered(server)
