"""Chromaticities, exponents and the codes of ITU-T H.273 -> what they do to colours.

PNG (cHRM, gAMA, cICP), AVIF, HEIC and BMP state colours by such numbers in place of a profile.
Imports only numpy.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from moderation.errors import ImageError
from moderation.images.icc import D50, Profile
from moderation.images.icc_curves import Curve, curve_levels, parametric_curve

#: x and y of white, red, green and blue.
Chromaticities = tuple[float, float, float, float, float, float, float, float]

_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
_BT601 = (0.630, 0.340, 0.310, 0.595, 0.155, 0.070)
_P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
SRGB: Chromaticities = (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)

#: H.273, table 2.
PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, *_BT601),
    7: (*_D65, *_BT601),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    10: (1 / 3, 1 / 3, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    11: (0.314, 0.351, *_P3),
    12: (*_D65, *_P3),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}

SRGB_CURVE = parametric_curve(2.4, a=1 / 1.055, b=0.055 / 1.055, c=1 / 12.92, d=0.04045)
#: BT.709 as screens show it, which is not the inverse of what cameras do (BT.1886).
_BT709_CURVE = parametric_curve(2.4)
_SMPTE240_CURVE = parametric_curve(1 / 0.45, a=1 / 1.1115, b=0.1115 / 1.1115, c=1 / 4, d=0.0912)

#: Codes of curves that browsers take for sRGB's in some places, and for BT.709's in others.
VIDEO = (1, 6, 11, 14, 15)
_VIDEO = (1, 6, 14, 15)
_SRGB_PRIMARIES, _SRGB_TRANSFER = 1, 13
#: Other codes that are not known, 2 for "unspecified" among them, stand for sRGB in AVIF.
_RESERVED = {0, 3}

#: H.273, table 3.
TRANSFERS: dict[int, Curve] = {
    **dict.fromkeys((*_VIDEO, 11), _BT709_CURVE),
    4: parametric_curve(2.2),
    5: parametric_curve(2.8),
    7: _SMPTE240_CURVE,
    8: parametric_curve(1.0),
    13: SRGB_CURVE,
    17: parametric_curve(2.6, a=(52.37 / 48) ** (1 / 2.6)),
}

#: What stands for a brightness that common screens do not have: PQ and HLG.
HDR = (16, 18)

_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def coded_profile(primaries: int, transfer: int, *, of_video: bool = False) -> Profile | None:
    """Returns what two codes say; None where they are not of those that browsers know.

    Args:
        primaries: a key of `PRIMARIES`.
        transfer: a key of `TRANSFERS`.
        of_video: AVIF and HEIC, in which browsers take video's curves for sRGB's.

    Raises:
        ImageError: the codes are those of HDR, which each screen shows in its own way.
    """
    if transfer in HDR:
        refuse_hdr()
    if of_video and not {primaries, transfer} & _RESERVED:
        primaries = primaries if primaries in PRIMARIES else _SRGB_PRIMARIES
        transfer = transfer if transfer in TRANSFERS else _SRGB_TRANSFER
    if primaries not in PRIMARIES or transfer not in TRANSFERS:
        return None
    curve = SRGB_CURVE if of_video and transfer in _VIDEO else TRANSFERS[transfer]
    return stated_profile(PRIMARIES[primaries], curve)


def refuse_hdr() -> None:
    """Refuses an image whose colours only a bright screen shows.

    Raises:
        ImageError: always.
    """
    what = "the image is HDR (PQ or HLG), which each screen shows in its own way"
    raise ImageError(what, "image", "Save it again as SDR, in sRGB")


def stated_profile(chromaticities: Chromaticities, curve: Curve) -> Profile | None:
    """Returns the profile of primaries and a curve; None where they make no colours."""
    matrix = np.zeros((3, 4), np.float32)
    try:
        matrix[:, :3] = _to_xyz(chromaticities)
    except (ValueError, np.linalg.LinAlgError):
        return None
    return Profile(np.stack([curve_levels(curve)] * 3), matrix)


def _to_xyz(chromaticities: Chromaticities) -> npt.NDArray[np.float64]:
    """Returns the XYZ of red, green and blue in columns, adapted to D50 by Bradford."""
    x, y = np.array(chromaticities).reshape(4, 2).T
    if not (((x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)).all() and y[0] > 0):
        raise ValueError("no chromaticities")
    columns = np.stack([x, y, 1 - x - y])
    white, primaries = columns[:, 0] / y[0], columns[:, 1:]
    primaries = primaries * np.linalg.solve(primaries, white)
    change = np.diag((_BRADFORD @ np.array(D50)) / (_BRADFORD @ white))
    return np.asarray(np.linalg.inv(_BRADFORD) @ change @ _BRADFORD @ primaries)
