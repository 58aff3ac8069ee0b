-- Write the app's name under the prefix at the first start.
-- ARGV: time, app
-- Returns: the name of the app that has the prefix
redis.call("HSETNX", K.lab, "app", ARGV[2])
return redis.call("HGET", K.lab, "app")
