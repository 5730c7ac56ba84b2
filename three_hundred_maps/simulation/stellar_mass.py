"""What stars leave of their mass at birth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def mass_left(age_gyr: ArrayLike) -> NDArray[np.float64]:
    """What stellar winds and supernovae have left of a star particle's mass at birth.

    1 - 0.046 ln(1 + t / 0.276 Myr): Jungwiert, Combes & Palous (2001) with the numbers that Leitner &
    Kravtsov (2011) give for a Chabrier initial mass function.
    """
    return 1.0 - 0.046 * np.log1p(np.maximum(age_gyr, 0.0) / 2.76e-4)
