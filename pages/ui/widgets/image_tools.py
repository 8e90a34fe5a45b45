"""Buttons to upload an image and to copy the link of a page, which also takes images that are dropped or pasted."""

from pages.ui.widgets.component import register_widget

_component = register_widget("image_tools")


def image_tools(container: str, *, key: str, words: str = "", many: bool = False, has_button: bool = True) -> None:
    """Draw the buttons; files that are dropped anywhere on the page or pasted go to one of its uploaders.

    Args:
        container: the key of the container that holds the uploader.
        key: the key of the widget.
        words: the tooltip of the upload button.
        many: whether the uploader takes several files.
        has_button: whether there is a button to upload; not if the uploader itself is on the screen.
    """
    data = {"uploader": f"st-key-{container}", "words": words, "many": many, "hasButton": has_button}
    _component(key=key, data=data, width="content")
