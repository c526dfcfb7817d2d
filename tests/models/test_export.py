"""Exported networks give the same answers: PyTorch's own format, and ONNX."""

import copy
import io

import pytest
import torch
from torch import nn
from zoo import build, networks, shuffled

from medlib.models import MODELS

QUICK = {"lenet5", "alexnet", "vgg11_bn", "resnet18", "densenet_small", "vit_tiny"}
QUICK |= {"fcn8s", "unet", "segnet"}
QUICK_ONNX = {"lenet5", "vit_tiny", "segnet"}
ANY_BATCH = ({0: torch.export.Dim.DYNAMIC},)


def ready(name: str) -> nn.Module:
    """Return a narrow network in eval mode that has seen images, so that norms are in force."""
    torch.manual_seed(0)
    model = shuffled(build(name, num_classes=3))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()(torch.randn(16, 1, 28, 28))
    return model.eval()


def assert_same(found: torch.Tensor, model: nn.Module, images: torch.Tensor) -> None:
    """Compare with what the network answers, on the scale of its largest answer.

    Two computations may differ by 1e-5, or by a few times the network's own rounding: very deep
    and narrow ones are off by more in 32 bits.
    """
    with torch.no_grad():
        wanted, exact = model(images), copy.deepcopy(model).double()(images.double())
    assert wanted.std() > 0
    scale = exact.abs().max()
    rounding = float((wanted - exact).abs().max() / scale)
    allowed = max(1e-5, 4 * rounding)
    torch.testing.assert_close(
        found / scale, wanted / scale, atol=allowed, rtol=0, check_dtype=False
    )


@pytest.mark.parametrize("name", networks(ordinary=QUICK))
def test_torch_export_round_trip(name):
    model = ready(name)
    program = torch.export.export(model, (torch.randn(2, 1, 28, 28),), dynamic_shapes=ANY_BATCH)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    images = torch.randn(5, 1, 28, 28)  # another batch size
    assert_same(torch.export.load(file).module()(images), model, images)


@pytest.mark.parametrize("name", networks(MODELS, ordinary=QUICK_ONNX))
def test_onnx_round_trip(name):
    pytest.importorskip("onnxscript", reason="the extra 'export' is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the extra 'export' is not installed")
    model = ready(name)
    program = torch.onnx.export(
        model, (torch.randn(2, 1, 28, 28),), dynamic_shapes=ANY_BATCH, dynamo=True, verbose=False
    )
    session = runtime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = torch.randn(5, 1, 28, 28)
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    assert_same(torch.from_numpy(found), model, images)
