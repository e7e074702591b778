-- Which builds need an uploaded context, the latest first: those are the ones that keep it.
CREATE INDEX specs_by_context ON specs ((spec #>> '{source,upload,context_id}'), build_id DESC)
WHERE spec #>> '{source,upload,context_id}' IS NOT NULL;
