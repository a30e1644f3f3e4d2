
-- A text in front of another: how long it is, and the text.
local function part(text)
  return string.format('%02x', #text) .. text
end

local function padded(number)
  return string.format('%016.0f', number)
end

local function lease_of(keys, execution_id)
  local packed = redis.call('HGET', keys[5], execution_id)
  return packed and unpacked(packed) or { 0, 0, 0, 0 }
end

-- The name of an execution among those that are due: at the end of its lease or its pause, or since it
-- finished.
local function due_name(execution_id, execution, lease)
  local at = execution[5]
  if lease[1] ~= 0 then
    at = lease[2]
  elseif lease[4] ~= 0 then
    at = lease[4]
  end
  return part(execution[2]) .. padded(at) .. part(execution[3]) .. execution_id
end

local function flow_prefix(execution)
  return part(execution[2]) .. part(execution[1])
end

local function flow_name(execution_id, execution)
  return flow_prefix(execution) .. padded(execution[7]) .. execution_id
end

-- The first and the second of a flow that are not handled.
local function first_of(keys, execution)
  local prefix = flow_prefix(execution)
  local found = redis.call('ZRANGE', keys[7], '[' .. prefix, '(' .. prefix .. ':', 'BYLEX',
    'LIMIT', '0', '2')
  return found[1] and string.sub(found[1], #prefix + 17), found[2] and string.sub(found[2], #prefix + 17)
end

-- Lists an execution as one that is to be handled.
local function index(keys, execution_id, execution)
  if execution[1] ~= '' then
    redis.call('ZADD', keys[7], '0', flow_name(execution_id, execution))
    local first, second = first_of(keys, execution)
    if first ~= execution_id then
      return
    end
    local before = second and finished(keys, second)
    if before then
      redis.call('ZREM', keys[6], due_name(second, before, lease_of(keys, second)))
    end
  end
  redis.call('ZADD', keys[6], '0', due_name(execution_id, execution, lease_of(keys, execution_id)))
end

local function unindex(keys, execution_id, execution)
  redis.call('ZREM', keys[6], due_name(execution_id, execution, lease_of(keys, execution_id)))
  if execution[1] ~= '' then
    redis.call('ZREM', keys[7], flow_name(execution_id, execution))
  end
end

-- Makes the next of a flow its first, once the one that was is unlisted.
local function promote(keys, execution)
  local first = execution[1] ~= '' and first_of(keys, execution)
  local next_one = first and finished(keys, first)
  if next_one then
    redis.call('ZADD', keys[6], '0', due_name(first, next_one, lease_of(keys, first)))
  end
end

-- Keeps a lease, and moves the execution to where it is due, if it is listed there.
local function set_lease(keys, execution_id, execution, lease)
  local before = due_name(execution_id, execution, lease_of(keys, execution_id))
  if lease[1] == 0 and lease[3] == 0 and lease[4] == 0 then
    redis.call('HDEL', keys[5], execution_id)
  else
    redis.call('HSET', keys[5], execution_id, cmsgpack.pack(lease))
  end
  if redis.call('ZREM', keys[6], before) == 1 then
    redis.call('ZADD', keys[6], '0', due_name(execution_id, execution, lease))
  end
end

-- Lets the first of a flow be taken that waits for a claim in its flow alone.
local function unblock(keys, execution)
  local first = execution[1] ~= '' and first_of(keys, execution)
  local lease = first and lease_of(keys, first)
  local first_one = lease and lease[5] and finished(keys, first)
  if first_one then
    set_lease(keys, first, first_one, { 0, 0, lease[3], 0 })
  end
end

-- The lease on the execution, if it has this token.
local function held(keys, execution_id, token)
  local lease = lease_of(keys, execution_id)
  if lease[1] ~= 0 and whole(lease[1]) == token then
    return lease
  end
end
