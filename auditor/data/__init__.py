"""From files to samples: readers for every format, decoding that trusts nothing, writing and splitting."""

from auditor.data.reading import Dataset, open_data
from auditor.data.records import DEFAULT_CAPTION_PROMPT
from auditor.data.splitting import picture_digest, split_by_pixels
from auditor.data.writing import write_jsonl

__all__ = ["DEFAULT_CAPTION_PROMPT", "Dataset", "open_data", "picture_digest", "split_by_pixels", "write_jsonl"]
