"""The log line of an audit scan names workloads of every namespace in turn."""

from webhook.leader import audit_scan as module


def test_no_namespace_crowds_another_out_of_the_line():
    wrong = {f"w of VMSingle a/{index:02}": module.Wrong("a", 1, "p", "x") for index in range(30)}
    wrong["w of VMSingle z/s"] = module.Wrong("z", 1, "p", "x")
    assert [each.namespace for _, each in module._of_each_namespace(wrong)[:3]] == ["a", "z", "a"]
