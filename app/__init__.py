"""The web app between the pages and the library: address, state and caches here, a folder a page below."""
