"""The parts of `web_demo.py`: sessions, drawings, pictures, downloads, and the page."""
