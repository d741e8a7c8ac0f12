"""AdamW against torch's own, whole, by rows, and as parameters are replaced."""

import copy
import pickle

import pytest
import torch

from sknm.compute.adam import AdamW


def parameters(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(5, 3, generator=generator), torch.randn(4, generator=generator)]


def steps(optimizer, params, n_steps, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()


def test_steps_are_those_of_torch():
    ours, theirs = parameters(), parameters()
    steps(AdamW(ours, lr=0.01, weight_decay=0.1), ours, 5)
    steps(torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1), theirs, 5)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("n_rows", [1, 2, 5, 9])
def test_steps_by_rows_are_the_same(n_rows):
    (whole, _), (parted, _) = parameters(), parameters()
    steps(AdamW([whole], lr=0.01), [whole], 4)
    optimizer = AdamW([parted], lr=0.01)
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        grad = torch.randn(parted.shape, generator=generator)
        done = list(optimizer.step_by_rows(lambda rows, g=grad: g[rows], n_rows))
        assert [rows.start for rows in done] == list(range(0, 5, n_rows))
    torch.testing.assert_close(parted, whole)


def test_optimiser_goes_on_where_its_parameters_are_replaced():
    # Turned round, the parameters move as they did before.
    expected, p = parameters()[0], parameters()[0]
    kept, turned = (AdamW([{"params": [x]}], lr=0.01) for x in (expected, p))
    steps(kept, [expected], 6)
    steps(turned, [p], 3)
    new = p.t().clone()
    (group,) = turned.param_groups
    turned.replace(group, [new], lambda old: [old[0].t().clone()])
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(5, 3, generator=generator) for _ in range(6)]
    for grad in grads[3:]:
        new.grad = grad.t().clone()
        turned.step()
    torch.testing.assert_close(new.t(), expected)


def test_new_parameters_start_afresh():
    old, fresh = parameters(3)[0], parameters()[0]
    new = fresh.clone()
    optimizer = AdamW([{"params": [old]}], lr=0.01)
    steps(optimizer, [old], 3)
    optimizer.replace(optimizer.param_groups[0], [new], None)
    steps(optimizer, [new], 2)
    steps(AdamW([{"params": [fresh]}], lr=0.01), [fresh], 2)
    torch.testing.assert_close(new, fresh)


def test_parameters_that_are_replaced_before_the_first_step_are_the_ones_moved():
    old, fresh = parameters(3)[0], parameters()[0]
    new = fresh.clone()
    optimizer = AdamW([{"params": [old]}], lr=0.01)
    optimizer.replace(optimizer.param_groups[0], [new], None)
    steps(optimizer, [new], 2)
    steps(AdamW([fresh], lr=0.01), [fresh], 2)
    torch.testing.assert_close(new, fresh)
    torch.testing.assert_close(old, parameters(3)[0])


def test_averages_shrink_with_their_parameters():
    rows = torch.tensor([0, 2, 3])
    (whole, other), (part, same) = parameters(), parameters()
    optimizer, expected = AdamW([part, same]), AdamW([whole, other])
    steps(optimizer, [part, same], 2)
    steps(expected, [whole, other], 2)
    part.data = part.data[rows]
    optimizer.change([part], lambda average: average[rows])
    generator = torch.Generator().manual_seed(2)
    for _ in range(2):
        whole.grad = torch.randn(5, 3, generator=generator)
        part.grad = whole.grad[rows]
        other.grad = same.grad = torch.randn(4, generator=generator)
        expected.step()
        optimizer.step()
    torch.testing.assert_close(part, whole[rows])
    torch.testing.assert_close(same, other)


def test_groups_have_rates_of_their_own():
    p, _ = parameters()
    held, half, whole = p.clone(), p.clone(), p.clone()
    optimizer = AdamW(
        [{"params": [x], "lr": lr} for x, lr in [(held, 0), (half, 0.1), (whole, 0.2)]]
    )
    for x in (held, half, whole):
        x.grad = torch.ones_like(x)
    optimizer.step()
    torch.testing.assert_close(held, p)
    torch.testing.assert_close(half, p - 0.1)
    torch.testing.assert_close(whole, p - 0.2)


def test_other_optimiser_goes_on_from_what_one_remembers():
    (p, q), (same, alike) = parameters(), parameters()
    former, expected = AdamW([p, q]), AdamW([same, alike])
    steps(former, [p, q], 3)
    steps(expected, [same, alike], 3)
    other = AdamW([p, q])
    other.remember(pickle.loads(pickle.dumps(former.memory())))
    steps(other, [p, q], 3, seed=2)
    steps(expected, [same, alike], 3, seed=2)
    assert torch.equal(p, same)
    assert torch.equal(q, alike)


def test_group_without_parameters_is_passed_over():
    (p, _) = parameters()
    groups = [{"params": []}, {"params": [p]}]
    before = p.clone()
    steps(AdamW(groups), [p], 1)
    assert not torch.equal(p, before)


def test_copy_without_parameters_keeps_the_averages():
    (p, _), (expected, _) = parameters(), parameters()
    steps(AdamW([expected]), [expected], 2)
    optimizer = AdamW([p])
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(p.shape, generator=generator) for _ in range(2)]
    p.grad = grads[0]
    optimizer.step()
    other = copy.deepcopy(optimizer)
    assert other.param_groups[0]["params"] == []
    other.param_groups[0]["params"] = [p]
    p.grad = grads[1]
    other.step()
    torch.testing.assert_close(p, expected)
