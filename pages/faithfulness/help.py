"""Texts of the Faithfulness page."""

from vit.plots.faithfulness import CurveKind

INTRO = (
    "Does a map show what the network really uses? Cover the patches that a map calls important and see whether the "
    "answer falls. Do the same with control maps, which cannot explain the network, and compare."
)

KINDS: dict[CurveKind, str] = {
    "deletion": "**Deletion** starts with the whole image and covers its patches, the most relevant first. If the map "
    "is right, the probability falls early and the area under the curve is small: **less is better**.",
    "insertion": "**Insertion** starts with all patches covered and uncovers them, the most relevant first. If the map "
    "is right, the probability rises early and the area under the curve is large: **more is better**.",
}

MEASURES = {
    "deletion_mean": "Area under the deletion curve when covered patches get the image's mean colour. Less is better.",
    "deletion_blur": "Area under the deletion curve when covered patches are blurred. Less is better.",
    "insertion_mean": "Area under the insertion curve over the image's mean colour. More is better.",
    "insertion_blur": "Area under the insertion curve over a blurred image. More is better.",
    "inside": "Share of the map's positive relevance that lies on the object. More is better.",
    "pointing": "Share of images whose most relevant patch lies on the object. More is better.",
    "iou": "Overlap (intersection over union, 0 to 1) of the object's patches with equally many of the most relevant "
    "patches. More is better.",
}

NO_CLASSES = (
    "This page measures how far the probability of a class falls. This model works without classes, so it cannot "
    "be measured. Look at its attention and its tokens, or fine-tune it on classes of your own."
)

NO_MASKS = (
    "This data set has no object masks, so the share inside the object, the pointing game and the IoU are missing. The "
    "curves need no masks."
)

NO_OBJECT = (
    "In none of these images does the object fill half of a patch, so the share inside the object, the pointing game "
    "and the IoU are missing."
)

HELP = """
**What this page measures.** A heat map over an image always looks like an explanation. This page tests whether it is
one. If the network uses the bright patches, its answer must fall without them, and must remain with them alone.
Deletion and insertion (Petsiuk, Das and Saenko 2018) test this in ten steps of equally many patches, for the class that
the network itself predicts. The area under each curve is one number. It is measured with two ways of covering a patch,
the image's mean colour and a blur, because both give images that the network never saw in training.

**Control maps.** A number alone says little, so each method is compared with maps that cannot explain anything.
*Uniform map* and *random order* put no patch before another; their curves are the same, because ties in a map are
broken at random. *Centred Gaussian* is a blob in the middle of the image, a strong baseline because most objects are
there. *Untrained weights* is the same method on the same network with new random weights (Adebayo et al. 2018): if that
map does as well, the method shows the image or the architecture, and not what was learned. Each method is compared with
the best of these four.

**Better than chance.** For every image, the difference between the method and the best control is computed. The
figure shows the mean of these differences and the interval in which the mean would lie for other images of this kind
(95 %, bootstrap over images). Only an interval wholly above zero counts as better. More images make intervals narrower.
With dozens of comparisons, one or two come out "better" or "worse" by luck.

**With object masks** the page also measures whether a map finds the object: the share of its relevance inside the
object; the pointing game (Zhang et al. 2016), that is, whether the most relevant patch is at least half object; and the
overlap of the top patches with the object's patches. These compare the map with what people see. A network that uses
the background *should* score badly there, so the verdict uses the curves alone.

**Limits.** Covered images are unlike the training images, so a fall may have that cause. Patches are ranked one by one,
while a network may use two together. Occlusion is computed by covering patches, so this test favours it. And a map that
is better than chance on average may be wrong for a single image: the result describes a method, a run and a data set.
"""
