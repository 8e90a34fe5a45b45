"""The pages are tested as on an own machine: whoever runs the tests may have a demo or a sign-in set up beside them."""

import pytest
import streamlit as st
from streamlit import config

from tests.helpers.serving import NO_SECRETS


@pytest.fixture(scope="session", autouse=True)
def _without_secrets():
    before = config.get_option("secrets.files")
    config.set_option("secrets.files", [str(NO_SECRETS)])
    st.secrets._reset()
    yield
    config.set_option("secrets.files", before)
    st.secrets._reset()
