"""Anatomy: the model explained on the model."""

import streamlit as st

st.title("Anatomy", anchor=False)
