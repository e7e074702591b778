-- How long a project's latest successful builds held their slots. $1: the project, $2: the repository, $3: at most.
SELECT repository = $2 AS "same!", held_seconds::float8 AS "seconds!" FROM results
WHERE project_id = $1 AND held_seconds IS NOT NULL ORDER BY build_id DESC LIMIT $3
