"""The architectures by name, called as `factory(channels, classes, image_size)`.

`mh3_NAME` has three heads with multi-level feature sharing on the trunk of NAME, `mh3_NAME_last` three that branch off
at its last stage. LeNets have no stages that halve: their heads branch off at the last stage only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dfkdbench.models.layers import TappedSequential, check_shape, initialise_he
from dfkdbench.models.lenet import LeNet
from dfkdbench.models.resnet import IMAGENET_STEM_FROM, BasicBlock, ResNet
from dfkdbench.models.wrn import WideResNet
from dfkdbench_cdfkd_mfs.models.encoders import (
    LastLevelEncoder,
    LinearEncoder,
    MultiLevelEncoder,
    PooledConvolutionEncoder,
)
from dfkdbench_cdfkd_mfs.models.multi_head import MultiHeadNetwork
from dfkdbench_cdfkd_mfs.models.trunks import LeNetTrunk, ResNetTrunk, SmallLeNetTrunk, WideResNetTrunk

Factory = Callable[[int, int, int], MultiHeadNetwork]

_RESNET18 = ((2, 2, 2, 2), (64, 128, 256, 512))
_RESNET18_NARROW = ((2, 2, 2, 2), (16, 32, 64, 128))
_RESNET34_NARROW = ((3, 4, 6, 3), (16, 32, 64, 128))
_RESNET_S = ((1, 1, 1), (8, 16, 32))
_RESNET_XS = ((1, 1, 1), (4, 8, 16))

Shape = tuple[tuple[int, ...], tuple[int, ...]]
"""Blocks and channels of the stages of a residual network."""


def _resnet(name: str, shape: Shape, channels: int, classes: int, image_size: int) -> ResNet:
    if shape in (_RESNET_S, _RESNET_XS):
        check_shape(name, channels, classes, image_size, sizes=(16,))
    else:
        check_shape(name, channels, classes, image_size, smallest=32)
    return ResNet(*shape, channels, classes, imagenet_stem=image_size >= IMAGENET_STEM_FROM)


def multi_level_resnet(
    name: str, heads: int, shape: Shape, channels: int, classes: int, image_size: int
) -> MultiHeadNetwork:
    """A residual network with multi-level feature sharing.

    Raises:
        ConfigError: For images that the trunk can't take.
    """
    network = _resnet(name, shape, channels, classes, image_size)
    widths = shape[1]
    encoders = [MultiLevelEncoder(widths) for _ in range(heads)]
    return MultiHeadNetwork(ResNetTrunk(network), encoders, widths[-1], classes)


def last_level_resnet(
    name: str, heads: int, shape: Shape, private_blocks: int, channels: int, classes: int, image_size: int
) -> MultiHeadNetwork:
    """A residual network whose last blocks are private to each head.

    Args:
        private_blocks: Blocks of the last stage that each head has for itself.

    Raises:
        ConfigError: For images that the trunk can't take.
    """
    network = _resnet(name, shape, channels, classes, image_size)
    blocks, widths = shape
    shared = blocks[-1] - private_blocks
    encoders = []
    for _ in range(heads):
        private = [
            BasicBlock(widths[-1], widths[-1], 1) if number else BasicBlock(widths[-2], widths[-1], 2)
            for number in range(shared, blocks[-1])
        ]
        encoders.append(LastLevelEncoder(TappedSequential(*private)))
        initialise_he(encoders[-1])
    return MultiHeadNetwork(ResNetTrunk(network, shared), encoders, widths[-1], classes)


def multi_level_wrn(
    name: str, heads: int, depth: int, width: int, channels: int, classes: int, image_size: int
) -> MultiHeadNetwork:
    """A wide residual network with multi-level feature sharing.

    Raises:
        ConfigError: For images below 16 x 16 pixels.
    """
    check_shape(name, channels, classes, image_size, smallest=16)
    widths = (16 * width, 32 * width, 64 * width)
    encoders = [MultiLevelEncoder(widths) for _ in range(heads)]
    trunk = WideResNetTrunk(WideResNet(depth, width, channels, classes))
    return MultiHeadNetwork(trunk, encoders, widths[-1], classes)


def last_level_lenet(
    name: str,
    heads: int,
    widths: tuple[int, int, int],
    hidden: int,
    channels: int,
    classes: int,
    image_size: int,
) -> MultiHeadNetwork:
    """A LeNet-5 whose two linear layers are private to each head.

    Raises:
        ConfigError: For images other than 32 x 32 pixels.
    """
    check_shape(name, channels, classes, image_size, sizes=(32,))
    encoders = [LinearEncoder(widths[-1], hidden) for _ in range(heads)]
    return MultiHeadNetwork(LeNetTrunk(LeNet(widths, hidden, channels, classes)), encoders, hidden, classes)


def last_level_small_lenet(
    name: str, heads: int, widths: tuple[int, int, int], channels: int, classes: int, image_size: int
) -> MultiHeadNetwork:
    """A small LeNet whose third convolution and linear layer are private to each head.

    Raises:
        ConfigError: For images other than 16 x 16 pixels.
    """
    check_shape(name, channels, classes, image_size, sizes=(16,))
    encoders = [PooledConvolutionEncoder(widths[1], widths[2]) for _ in range(heads)]
    return MultiHeadNetwork(SmallLeNetTrunk(widths[:2], channels), encoders, widths[2], classes)


def lenet5_2_4_60(channels: int, classes: int, image_size: int) -> LeNet:
    """Teacher of CDFKD on MNIST: 8,456 parameters for one channel and ten classes, 60 features.

    Raises:
        ConfigError: For images other than 32 x 32 pixels.
    """
    check_shape("lenet5_2_4_60", channels, classes, image_size, sizes=(32,))
    return LeNet((2, 4, 60), 30, channels, classes)


def resnet34_narrow(channels: int, classes: int, image_size: int) -> ResNet:
    """Teacher of CDFKD on CIFAR-10: ResNet-34 with a quarter of the channels, 128 features.

    Raises:
        ConfigError: For images below 32 x 32 pixels.
    """
    return _resnet("resnet34_narrow", _RESNET34_NARROW, channels, classes, image_size)


mh3_resnet18: Factory = partial(multi_level_resnet, "mh3_resnet18", 3, _RESNET18)
mh3_resnet_s: Factory = partial(multi_level_resnet, "mh3_resnet_s", 3, _RESNET_S)
mh3_resnet_xs: Factory = partial(multi_level_resnet, "mh3_resnet_xs", 3, _RESNET_XS)
mh2_resnet_xs: Factory = partial(multi_level_resnet, "mh2_resnet_xs", 2, _RESNET_XS)
mh3_wrn_16_1: Factory = partial(multi_level_wrn, "mh3_wrn_16_1", 3, 16, 1)
mh3_wrn_16_2: Factory = partial(multi_level_wrn, "mh3_wrn_16_2", 3, 16, 2)
mh3_wrn_40_2: Factory = partial(multi_level_wrn, "mh3_wrn_40_2", 3, 40, 2)
mh3_resnet18_last: Factory = partial(last_level_resnet, "mh3_resnet18_last", 3, _RESNET18, 1)
mh3_resnet_xs_last: Factory = partial(last_level_resnet, "mh3_resnet_xs_last", 3, _RESNET_XS, 1)
mh3_resnet18_narrow_last: Factory = partial(last_level_resnet, "mh3_resnet18_narrow_last", 3, _RESNET18_NARROW, 2)
mh3_lenet5_half: Factory = partial(last_level_lenet, "mh3_lenet5_half", 3, (3, 8, 60), 42)
mh3_lenet5_1_2_30: Factory = partial(last_level_lenet, "mh3_lenet5_1_2_30", 3, (1, 2, 30), 15)
mh3_lenet_xs: Factory = partial(last_level_small_lenet, "mh3_lenet_xs", 3, (6, 12, 24))
