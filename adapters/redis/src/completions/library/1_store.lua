#!lua name=midplane_completions_3

-- Completions in Redis and Valkey. Every function is one atomic step, may be repeated, and looks at all it
-- needs before it writes anything, so that an error means that nothing changed.
--
-- The keys, all in one slot of a cluster and none made of an id:
--   1 store       hash    version, number, retention or age, last, check, trimmed, trimmed_check, tokens
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
-- The numbers of the history have no gaps, so that whatever was trimmed is noticed. Each check is a digest
-- of the one before it, so that a history that was replaced by another one is noticed too.
--
-- What is released under this name never changes: another library has another number.

local VERSION = '3'
local ID_BYTES = 255
local PAYLOAD_BYTES = 1048576
-- So much is trimmed with each completion at most, by number and by age.
local TRIM_AT_ONCE = 16
local TRIM_OLD_AT_ONCE = 2
local PAGE_BYTES = 1048576
local SCAN_BATCH = 128
local SPACES_MOST = 1000

-- Lua writes large numbers as 1e+15.
local function whole(number)
  return string.format('%.0f', number)
end

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function open(keys)
  local found = redis.call('HMGET', keys[1],
    'version', 'number', 'retention', 'last', 'check', 'trimmed', 'trimmed_check', 'age')
  if not found[1] then
    return nil, redis.error_reply('NOSTORE no store of completions was installed with this prefix')
  end
  if found[1] ~= VERSION then
    return nil, redis.error_reply('STOREVERSION the store of completions has version ' .. found[1]
      .. ', these functions are of version ' .. VERSION)
  end
  return {
    number = found[2],
    retention = tonumber(found[3]),
    last = tonumber(found[4]),
    check = found[5],
    trimmed = found[6],
    trimmed_check = found[7],
    age = tonumber(found[8] or ''),
  }
end

local function is_id(text)
  return text and #text >= 1 and #text <= ID_BYTES
end

local function unpacked(packed)
  local fine, value = pcall(cmsgpack.unpack, packed)
  if fine and type(value) == 'table' then
    return value
  end
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

local function finished(keys, execution_id)
  local packed = redis.call('HGET', keys[2], execution_id)
  local execution = packed and unpacked(packed)
  if execution and type(execution[4]) == 'string' and type(execution[5]) == 'number' then
    return execution
  end
end

-- What a listener gets of an execution that finished.
local function shown(execution_id, execution)
  return {
    execution_id, execution[4], whole(execution[5]), execution[1], execution[2], execution[3], execution[6],
  }
end
