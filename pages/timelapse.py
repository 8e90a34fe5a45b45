"""Time-lapse."""

import streamlit as st

st.title("Time-lapse", anchor=False)
