#!lua name=midplane_completions_4

-- Completions in Redis and Valkey. Every function is one atomic step, may be repeated, and looks at all it
-- needs before it writes anything, so that an error means that nothing changed.
--
-- The keys, all in one slot of a cluster and none made of the id of an execution:
--   1 store       hash    version, number, retention or age, last, check, trimmed, trimmed_check, tokens, turn,
--                         groups: name -> {position, keep, turn, removed}, where there are any
--   2 executions  hash    id -> {flow, namespace, tag}, and once it finished also
--                               outcome, microseconds, bytes or false, number in the history
--   3 history     stream  number-0: c check, e id, n namespace, t tag; also the channel of wake-ups
--   4 unhandled   zset    id by number in the history
--   5 leases      hash    id -> {token, until, failures, paused, true if for a claim in its flow, error of a dead
--                               letter}, microseconds
--   6 due         zset    by name: namespace, when it can be taken, tag, id, of each that is not handled;
--                         of a flow its first alone, for all of it
--   7 flows       zset    by name: namespace, flow, number, id, of each that is not handled and has a flow
--   8 dead        zset    id by number in the history, of dead letters
--
-- Keys 4 to 8 are the work of the group without a name. Those of another group have a colon and its name behind, and
-- so the functions know whose work a call is about. Not all of them are declared where a function is called: retention
-- looks at the work of every group.
--
-- What finishes is listed at once as work of the group without a name. For another group it is listed when the group
-- takes, or when it leaves the history, whichever is first: up to its position in the history a group has it listed, and
-- what it has listed no more it handled. So what finishes costs the same however many groups there are.
--
-- The numbers of the history have no gaps, so that whatever was trimmed is noticed. Each check is a digest
-- of the one before it, so that a history that was replaced by another one is noticed too.
--
-- What is released under this name never changes: another library has another number.

local VERSION = '4'
local ID_BYTES = 255
local PAYLOAD_BYTES = 1048576
-- So much is trimmed with each completion at most, by number and by age.
local TRIM_AT_ONCE = 16
local TRIM_OLD_AT_ONCE = 2
local PAGE_BYTES = 1048576
local SCAN_BATCH = 128
local SPACES_MOST = 1000
-- So much is listed for a group at once.
local LIST_AT_ONCE = 500
local LIST_BYTES = 4194304
-- The group without a name in `groups`: it is there where that group was removed.
local UNNAMED = ''
-- What became of a group that was removed: its work is still listed, or not.
local REMOVED, CLEAN = 1, 2

-- Lua writes large numbers as 1e+15.
local function whole(number)
  return string.format('%.0f', number)
end

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function unpacked(packed)
  local fine, value = pcall(cmsgpack.unpack, packed)
  if fine and type(value) == 'table' then
    return value
  end
end

local function open(keys)
  local found = redis.call('HMGET', keys[1],
    'version', 'number', 'retention', 'last', 'check', 'trimmed', 'trimmed_check', 'age', 'groups')
  if not found[1] then
    return nil, redis.error_reply('NOSTORE no store of completions was installed with this prefix')
  end
  if found[1] ~= VERSION then
    return nil, redis.error_reply('STOREVERSION the store of completions has version ' .. found[1]
      .. ', these functions are of version ' .. VERSION)
  end
  local groups = not found[9] and {} or unpacked(found[9])
  if not groups then
    return nil, redis.error_reply('POISONGROUPS the record of the groups cannot be read')
  end
  return {
    number = found[2],
    retention = tonumber(found[3]),
    last = tonumber(found[4]),
    check = found[5],
    trimmed = found[6],
    trimmed_check = found[7],
    age = tonumber(found[8] or ''),
    groups = groups,
  }
end

local function save_groups(keys, store)
  redis.call('HSET', keys[1], 'groups', cmsgpack.pack(store.groups))
end

local function is_live(group)
  return group and not group.removed
end

-- The keys of the work of a group.
local function of_group(keys, name)
  local prefix = string.sub(keys[1], 1, -#'store' - 1)
  local suffix = name == UNNAMED and '' or ':' .. name
  return {
    keys[1], keys[2], keys[3], prefix .. 'unhandled' .. suffix, prefix .. 'leases' .. suffix,
    prefix .. 'due' .. suffix, prefix .. 'flows' .. suffix, prefix .. 'dead' .. suffix,
  }
end

-- The store, and the group whose keys these are, nil for the one without a name.
local function open_group(keys)
  local store, problem = open(keys)
  if not store then
    return nil, nil, problem
  end
  local name = string.sub(keys[4], #keys[1] - #'store' + #'unhandled' + 2)
  local group = store.groups[name]
  if name == UNNAMED and not group then
    return store
  end
  if name == UNNAMED or not is_live(group) then
    return nil, nil, redis.error_reply('UNKNOWNGROUP there is no such group: it is not registered, or was removed')
  end
  return store, group
end

-- Looks at all that the work on an execution is listed in: what cannot be written there fails here.
local function probe(keys, execution_id)
  for at = 4, 8 do
    redis.call(at == 5 and 'HGET' or 'ZSCORE', keys[at], execution_id)
  end
end

local function is_id(text)
  return text and #text >= 1 and #text <= ID_BYTES
end

-- The fields of an entry of the history, by name.
local function fields(entry)
  local found = {}
  for at = 1, #entry[2], 2 do
    found[entry[2][at]] = entry[2][at + 1]
  end
  return found
end

local function id(entry)
  local number, sequence = string.match(entry[1], '^(%d+)-(%d+)$')
  return tonumber(number), tonumber(sequence)
end

local function as_finished(packed)
  local execution = packed and unpacked(packed)
  if execution and type(execution[4]) == 'string' and type(execution[5]) == 'number' then
    return execution
  end
end

local function finished(keys, execution_id)
  return as_finished(redis.call('HGET', keys[2], execution_id))
end

-- What a listener gets of an execution that finished.
local function shown(execution_id, execution)
  return {
    execution_id, execution[4], whole(execution[5]), execution[1], execution[2], execution[3], execution[6],
  }
end
