-- The service records what it does of itself, too, such as disabling an endpoint that takes nothing.
COMMENT ON COLUMN audit.actor IS 'The token''s name then, anonymous, command line, or service for what we did of ourselves';
