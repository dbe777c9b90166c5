"""Cloud images that guests start from: found at a source, checked, and kept on a host.

Two ways lead there. Where uvtool is installed it does the work, and its word is not taken for it;
elsewhere the native way does the same from the same source. `find_image` is all that guests need.
"""

from virtlab.images.find import find_image, kept_images
from virtlab.images.kept_image import ImageMissingError, KeptImage

__all__ = ["ImageMissingError", "KeptImage", "find_image", "kept_images"]
