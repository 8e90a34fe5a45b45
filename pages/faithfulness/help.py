"""What the Faithfulness page says besides its numbers."""

INTRO = (
    "Does a map show what the network goes by, or does it only look as if? Take away the patches that a map calls "
    "important and see whether the answer falls; do the same with maps that know nothing, and compare."
)

KINDS = {
    "deletion": "**Deletion** begins with the whole image and covers its patches, those that the map calls most "
    "relevant first. If the map is right, the probability falls at once, and little area is left under the curve: "
    "**less is better**.",
    "insertion": "**Insertion** begins with everything covered and shows the patches in the same order. If the map is "
    "right, the probability rises at once, and there is much area under the curve: **more is better**.",
}

MEASURES = {
    "deletion_mean": "Area under the deletion curve when covered patches get the image's mean colour. Less is better.",
    "deletion_blur": "Area under the deletion curve when covered patches are blurred. Less is better.",
    "insertion_mean": "Area under the insertion curve over the image's mean colour. More is better.",
    "insertion_blur": "Area under the insertion curve over a blurred image. More is better.",
    "inside": "How much of the map's positive relevance lies on the object. More is better.",
    "pointing": "How often the most relevant patch lies on the object. More is better.",
    "iou": "Take as many of the most relevant patches as the object has: how well the two sets agree, from 0 to 1.",
}

NO_CLASSES = (
    "Whether a map is evidence is judged by how far a class's probability falls, and this model was published as "
    "features, without classes: look at its attention and its tokens, or fine-tune it on classes of your own."
)

NO_MASKS = (
    "This data set does not say where the object is, so the share inside the object, the pointing game and the IoU "
    "cannot be taken; the curves need no masks."
)

NO_OBJECT = (
    "In none of these images does the object fill half of a patch, so the share inside the object, the pointing game "
    "and the IoU cannot be taken."
)

WHAT_IT_IS = """
**What it is.** A heat map over an image always looks like an explanation. Whether it is one can be tested: if the
network goes by the bright patches, then without them its answer must fall, and with them alone it must stand. Deletion
and insertion (Petsiuk, Das and Saenko 2018) do just that, in ten steps of equally many patches, for the class that the
network itself gives the image. The area under each curve is one number; it is taken with two ways of covering a patch,
in the image's mean colour and by a blur, for each is a picture of a kind that the network never saw.

**Chance.** No number says much by itself, so each method stands beside maps that cannot explain anything. *Uniform map*
and *random order*: no patch before another (their curves are the same; where a map has ties, a random order settles
them). *Centred Gaussian*: a spot in the middle, since objects mostly are there. *Untrained weights*: the same method on
the same network with new random weights (Adebayo et al. 2018); if that map does as well, the method shows the image or
the architecture, and nothing of what was learned. Each method is held against the best of these four.

**Better than chance.** For every image, the difference between the method and that best row; then its mean, and the
interval in which the mean would lie for other images of this kind (95 %, bootstrap over images). Only an interval
wholly above zero counts as better. More images make intervals narrower. With dozens of comparisons one or two come out
"better" or "worse" by luck.

**On data with masks** it can be asked too whether a map finds the object: the share of its relevance inside; the
pointing game (Zhang et al. 2016), whether the most relevant patch is at least half object; and the overlap of the top
patches with the object's. These hold the map against what people see. A network that goes by the background *should* do
badly there, so the verdict above rests on the curves alone.

**What it is not.** Covered images are unlike any that the network was trained on, so a fall may also be surprise.
Patches are ranked one by one, while a network may use two together. Occlusion is itself made by covering patches, so it
is at home in this test. And a map that is better than chance on average may be wrong for the image before you: this is
a statement about a method, a run and a data set.
"""
