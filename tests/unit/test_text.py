"""`nearest` finds the names that are most like a wrong one."""

from webhook.text import nearest


def test_the_most_alike_go_first_and_what_is_unlike_is_left_out():
    existing = ("privileged", "vm-restricted", "restricted-vm", "restricted", "restricted-vms")
    assert nearest("restricted-vn", existing) == ("restricted-vm", "restricted-vms", "restricted")
    assert nearest("zzz", existing) == ()
    assert nearest("x", ()) == ()
