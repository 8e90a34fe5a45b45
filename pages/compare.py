"""Side by side."""

import streamlit as st

st.title("Side by side", anchor=False)
