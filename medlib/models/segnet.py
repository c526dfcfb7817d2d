"""SegNet: the decoder puts each value back where pooling took it from (2015)."""

from torch import Tensor, nn

from medlib.models.checks import ModelError, check_sizes
from medlib.models.layers import initialise
from medlib.models.vgg import conv_stage, stage_channels

DEPTHS = (2, 2, 3, 3, 3)  # VGG-16


class SegNet(nn.Module):
    """SegNet (Badrinarayanan, Kendall and Cipolla, TPAMI 2017).

    The encoder is VGG-16 without its linear layers. Each pooling remembers where its values
    stood; the decoder, a mirror image, writes them back there, zeros between them, and lets
    convolutions fill the gaps. The last one gives the logits.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the images and number of classes of the pixels.
    image_size : int
        Height and width in pixels: at least ``2 ** (depth - 1)``. The network takes other sizes
        too.
    width : int
        Channels of the first stage; the others have 2, 4, 8 and 8 times as many.
    depth : int
        Stages of the encoder, at most the paper's 5; 3 suit images of 28 pixels, whose maps
        shrink to one value in 5.
    norm : bool
        Whether batch normalisation follows each convolution.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 11,
        image_size: int = 360,
        width: int = 64,
        depth: int = 5,
        norm: bool = True,
    ) -> None:
        super().__init__()
        if not 1 <= depth <= len(DEPTHS) or width < 1:
            raise ModelError(
                f"segnet has 1 to {len(DEPTHS)} stages and a width of at least 1, "
                f"got depth={depth} and width={width}"
            )
        check_sizes(
            f"segnet of depth {depth}",
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            smallest=2 ** (depth - 1),
        )
        channels = stage_channels(width)[:depth]  # 64, 128, 256, 512, 512
        before = [in_channels, *channels]
        stages = [conv_stage(before[i], channels[i], DEPTHS[i], norm=norm) for i in range(depth)]
        self.encoder = nn.ModuleList(nn.Sequential(*stage) for stage in stages)
        self.pool = nn.MaxPool2d(2, return_indices=True, ceil_mode=True)
        self.unpool = nn.MaxUnpool2d(2)
        after = [width, *channels]
        mirrored = [_mirrored(channels[i], after[i], DEPTHS[i], norm) for i in range(depth)]
        kept = mirrored[0][: -3 if norm else -2]  # the last layer has neither norm nor ReLU
        mirrored[0] = [*kept, nn.Conv2d(width, num_classes, 3, padding=1)]
        self.decoder = nn.ModuleList(nn.Sequential(*stage) for stage in reversed(mirrored))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to logits ``(N, num_classes, H, W)``."""
        x, places = images, []
        for stage in self.encoder:
            x = stage(x)  # (N, 64, H, W) ... (N, 512, H / 16, W / 16)
            size = x.shape[-2:]
            x, indices = self.pool(x)  # half of it
            places.append((indices, size))
        for stage in self.decoder:
            indices, size = places.pop()
            x = stage(self.unpool(x, indices, output_size=size))  # (N, 512, H / 16, W / 16) ...
        return x


def _mirrored(in_channels: int, channels: int, depth: int, norm: bool) -> list[nn.Module]:
    """Return a stage of the decoder: the last of its convolutions changes the channels."""
    kept = conv_stage(in_channels, in_channels, depth - 1, norm=norm)
    return kept + conv_stage(in_channels, channels, 1, norm=norm)
