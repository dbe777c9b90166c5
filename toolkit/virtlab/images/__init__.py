"""Cloud images that guests start from: found at a source, checked, and kept on a host.

Two ways lead there. Where uvtool is installed it does the work, and its word is not taken for it;
elsewhere the native way does the same from the same source. Guests need `find_image`; where the
user names a file instead, `check_image` holds it to what images from sources are held to.
"""

from virtlab.images.find import find_image, kept_images
from virtlab.images.image_file import check_image
from virtlab.images.kept_image import ImageMissingError, KeptImage

__all__ = ["ImageMissingError", "KeptImage", "check_image", "find_image", "kept_images"]
