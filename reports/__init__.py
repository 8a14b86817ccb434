"""The paper: turns an audit record into a document; knows no model."""
