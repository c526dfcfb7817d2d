"""Vision transformers: an image as a sequence of patches that attend to each other (2020)."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from medlib.models.checks import ModelError, check_sizes, resolve_stem

PATCH = {"small": 4, "standard": 16}


class EncoderBlock(nn.Module):
    """Attention, then a small network for each token, each with a norm before and a skip around.

    Parameters
    ----------
    width : int
        Numbers in a token.
    heads : int
        Heads of the attention, each of ``width / heads`` numbers.
    dropout : float
        Share of the values that dropout sets to zero.
    """

    def __init__(self, width: int, heads: int, *, dropout: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``(N, T, width)`` to tokens of the same shape."""
        y = self.ln_1(x)
        y, _ = self.self_attention(y, y, y, need_weights=False)
        x = x + self.dropout(y)
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Adds to each token where it stands, then runs the blocks.

    Parameters
    ----------
    tokens : int
        Number of tokens: the patches and the class token.
    width, depth, heads : int
        Numbers in a token, number of blocks, heads in each.
    dropout : float
        Share of the values that dropout sets to zero.
    positions : bool
        Whether it adds anything; without positions the patches are a bag.
    """

    def __init__(
        self, tokens: int, width: int, depth: int, heads: int, dropout: float, positions: bool
    ) -> None:
        super().__init__()
        drawn = torch.empty(1, tokens, width).normal_(std=0.02)
        self.pos_embedding = nn.Parameter(drawn) if positions else None
        self.dropout = nn.Dropout(dropout)
        blocks = [EncoderBlock(width, heads, dropout=dropout) for _ in range(depth)]
        names = [f"encoder_layer_{i}" for i in range(depth)]
        self.layers = nn.Sequential(OrderedDict(zip(names, blocks, strict=True)))
        self.ln = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``(N, T, width)`` to tokens of the same shape."""
        if self.pos_embedding is not None:
            x = x + self.pos_embedding
        return self.ln(self.layers(self.dropout(x)))


class ConvolutionalStem(nn.Sequential):
    """Makes tokens by small convolutions (Xiao et al., "Early convolutions", NeurIPS 2021).

    Each 3 x 3 convolution of stride 2 halves the map and doubles its channels, until one place of
    the map stands for one patch; a 1 x 1 convolution follows. Neighbouring patches overlap in what
    they see. The whole is put where the plain network cuts its patches.

    Parameters
    ----------
    in_channels : int
        Channels of the images.
    width : int
        Numbers in a token.
    patch : int
        Edge of a patch in pixels: 2, 4, 8, 16.
    """

    def __init__(self, in_channels: int, width: int, patch: int) -> None:
        super().__init__()
        for i, channels in enumerate(stem_channels(width, patch)):
            halve = nn.Sequential(
                nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            )
            self.add_module(f"conv_bn_relu_{i}", halve)
            in_channels = channels
        self.conv_last = nn.Conv2d(in_channels, width, 1)


def stem_channels(width: int, patch: int) -> list[int]:
    """List the channels of a `ConvolutionalStem`: doubled at each step, `width` at the last."""
    steps = patch.bit_length() - 1
    if patch < 2 or patch != 2**steps or width % 2 ** (steps - 1):
        raise ModelError(
            f"a convolutional stem halves the image until one place is a patch: patch must be 2, "
            f"4, 8 or 16 and width a multiple of patch / 2, got patch={patch}, width={width}"
        )
    return [width // 2 ** (steps - 1 - i) for i in range(steps)]


class VisionTransformer(nn.Module):
    """ViT (Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021).

    Layers carry torchvision's names, so that its weights load.

    Parameters
    ----------
    width : int
        Numbers in a token.
    heads : int
        Heads of each attention; `width` must be a multiple.
    depth : int
        Number of blocks.
    in_channels, num_classes : int
        Channels of the images and number of logits.
    image_size : int
        Height and width in pixels: a multiple of the patch. The network takes no other size.
    stem : {"auto", "standard", "small"}
        The standard stem cuts patches of 16 pixels, the small one of 4, so that 28 pixels give
        7 x 7 of them. ``"auto"`` takes the small one up to 64 pixels.
    patch : int, optional
        Edge of a patch in pixels, where it is neither.
    dropout : float
        Share of the values that dropout sets to zero.
    hybrid : bool
        Whether a `ConvolutionalStem` makes the tokens.
    positions : bool
        Whether each token is told where it stands.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        depth: int = 12,
        in_channels: int = 3,
        num_classes: int = 1000,
        image_size: int = 224,
        stem: str = "auto",
        patch: int | None = None,
        dropout: float = 0.0,
        hybrid: bool = False,
        positions: bool = True,
    ) -> None:
        super().__init__()
        patch = patch or PATCH[resolve_stem(stem, image_size)]
        check_sizes(
            f"a vision transformer with patches of {patch} pixels",
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            smallest=patch,
        )
        _check_patches(image_size, patch)
        _check_heads(width, heads)
        self.image_size = image_size
        if hybrid:
            self.conv_proj = ConvolutionalStem(in_channels, width, patch)
        else:
            self.conv_proj = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        tokens = (image_size // patch) ** 2 + 1  # 197 at 224 pixels
        self.encoder = Encoder(tokens, width, depth, heads, dropout, positions)
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(width, num_classes)))
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to logits ``(N, num_classes)``."""
        if images.shape[-2:] != (self.image_size, self.image_size):
            found = "x".join(map(str, images.shape[-2:]))
            raise ModelError(
                f"this transformer has positions for {self.image_size}x{self.image_size} pixels, "
                f"got {found}: resize the images or create it with another image_size"
            )
        x = self.conv_proj(images).flatten(2).transpose(1, 2)  # (N, 196, width)
        first = self.class_token.expand(x.shape[0], -1, -1)
        x = self.encoder(torch.cat([first, x], dim=1))  # (N, 197, width)
        return self.heads(x[:, 0])


def vit_tiny(*, width: int = 192, heads: int = 3, **options: object) -> VisionTransformer:
    """Build ViT-Ti (Touvron et al., "Training data-efficient image transformers", ICML 2021).

    Parameters
    ----------
    width, heads : int
        Numbers in a token, and heads of each attention.
    **options
        Those of `VisionTransformer`.
    """
    return VisionTransformer(width=width, heads=heads, **options)


def vit_small(*, width: int = 384, heads: int = 6, **options: object) -> VisionTransformer:
    """Build ViT-S (of the same paper as ViT-Ti).

    Parameters
    ----------
    width, heads : int
        Numbers in a token, and heads of each attention.
    **options
        Those of `VisionTransformer`.
    """
    return VisionTransformer(width=width, heads=heads, **options)


def vit_base(*, width: int = 768, heads: int = 12, **options: object) -> VisionTransformer:
    """Build ViT-B (Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021).

    Parameters
    ----------
    width, heads : int
        Numbers in a token, and heads of each attention.
    **options
        Those of `VisionTransformer`.
    """
    return VisionTransformer(width=width, heads=heads, **options)


def _check_patches(image_size: int, patch: int) -> None:
    """Refuse a patch that does not divide the image, and name those that do."""
    if image_size % patch:
        fitting = [str(n) for n in range(2, image_size // 2 + 1) if image_size % n == 0]
        remedy = f"choose patch={' or '.join(fitting)}, or resize" if fitting else "resize"
        raise ModelError(
            f"patches of {patch} pixels do not fill images of {image_size} x {image_size}: "
            f"{remedy} the images to a multiple of {patch}"
        )


def _check_heads(width: int, heads: int) -> None:
    if heads < 1 or width % heads:
        raise ModelError(f"width must be a multiple of heads, got width={width}, heads={heads}")


def _initialise(model: VisionTransformer) -> None:
    """Draw weights from a truncated normal distribution, as the paper of ViT-Ti does."""
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2 and "embedding" not in name:
            nn.init.trunc_normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
