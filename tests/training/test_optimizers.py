"""AdamW against torch's own, whole, by rows, and as parameters are replaced."""

import copy

import pytest
import torch

from sknm.training.optimizers import AdamW, replace_params


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


@pytest.mark.parametrize("make", [AdamW, torch.optim.SGD], ids=["adamw", "sgd"])
def test_optimiser_goes_on_where_its_parameters_are_replaced(make):
    # Turned round, the parameters move as they did before.
    options = {"lr": 0.01} if make is AdamW else {"lr": 0.01, "momentum": 0.9}
    expected, p = parameters()[0], parameters()[0]
    kept, turned = (
        make([{"params": [x], "name": "node_weights"}], **options)
        for x in (expected, p)
    )
    steps(kept, [expected], 6)
    steps(turned, [p], 3)
    new = p.t().clone()
    replace_params(turned, "node_weights", [new], lambda old: [old[0].t().clone()])
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(5, 3, generator=generator) for _ in range(6)]
    for grad in grads[3:]:
        new.grad = grad.t().clone()
        turned.step()
    torch.testing.assert_close(new.t(), expected)


@pytest.mark.parametrize("make", [AdamW, torch.optim.SGD], ids=["adamw", "sgd"])
def test_new_parameters_start_afresh(make):
    options = {"lr": 0.01} if make is AdamW else {"lr": 0.01, "momentum": 0.9}
    old, fresh = parameters(3)[0], parameters()[0]
    new = fresh.clone()
    optimizer = make([{"params": [old], "name": "node_weights"}], **options)
    steps(optimizer, [old], 3)
    replace_params(optimizer, "node_weights", [new], None)
    steps(optimizer, [new], 2)
    steps(make([{"params": [fresh], "name": "node_weights"}], **options), [fresh], 2)
    torch.testing.assert_close(new, fresh)


def test_group_without_parameters_is_passed_over():
    (p, _) = parameters()
    groups = [{"params": [], "name": "none"}, {"params": [p], "name": "one"}]
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
