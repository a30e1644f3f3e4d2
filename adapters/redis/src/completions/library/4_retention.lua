
-- The groups that an execution is kept for as long as they have not handled it: each as its keys and what is known of it.
local function keepers(keys, store)
  if store.keepers then
    return store.keepers
  end
  local found = {}
  if not store.groups[UNNAMED] then
    found[1] = { of_group(keys, UNNAMED), {} }
  end
  for name, group in pairs(store.groups) do
    if is_live(group) then
      found[#found + 1] = { of_group(keys, name), group }
    end
  end
  store.keepers = found
  return found
end

local function is_listed(groups, execution_id)
  for _, group in ipairs(groups) do
    if redis.call('ZSCORE', group[1][4], execution_id) or redis.call('ZSCORE', group[1][8], execution_id) then
      return true
    end
  end
  return false
end

-- Forgets an execution that is out of the history and that every group has handled. Where the keys of a group are in the
-- way, it is kept.
local function forget(keys, store, execution_id, execution)
  local trimmed = tonumber(string.match(store.trimmed, '^%d+') or 0)
  if execution[7] > trimmed then
    return
  end
  local fine, listed = pcall(is_listed, keepers(keys, store), execution_id)
  if fine and not listed then
    redis.call('HDEL', keys[2], execution_id)
  end
end

-- Lists an execution no more as work, and forgets it if nothing else keeps it.
local function unlist(keys, store, execution_id, execution)
  unindex(keys, execution_id, execution)
  redis.call('ZREM', keys[4], execution_id)
  redis.call('ZREM', keys[8], execution_id)
  redis.call('HDEL', keys[5], execution_id)
  forget(keys, store, execution_id, execution)
end

-- Gives up for a group up to `most` of what it has listed and not handled that finished up to a time.
local function give_up_listed(keys, store, time, most)
  local count = 0
  for _, at in ipairs({ 4, 8 }) do
    for _, execution_id in ipairs(redis.call('ZRANGE', keys[at], '0', whole(most - count - 1))) do
      local execution = finished(keys, execution_id)
      if execution and execution[5] > time then
        break
      end
      if execution then
        unlist(keys, store, execution_id, execution)
        promote(keys, execution)
        unblock(keys, execution)
      else
        redis.call('ZREM', keys[at], execution_id)
      end
      count = count + 1
    end
    if count == most then
      break
    end
  end
  return count
end

-- Moves a group that is behind past up to `most` records of what finished up to a time.
local function give_up_behind(keys, store, group, time, most)
  local found, position = behind(keys, store, group.position, nil, most)
  for count, record in ipairs(found) do
    local execution = finished(keys, record[2])
    if execution and execution[7] == record[1] and execution[5] > time then
      return count - 1
    end
    group.position = record[1]
  end
  group.position = math.max(group.position, position)
  return #found
end

-- Looks at all that trimming up to a number of the history writes for groups, and says which those are, each with the
-- time up to which it gives up what it has not handled.
local function concerned(groups, number)
  local found = {}
  for _, keeper in ipairs(groups) do
    local keys, group = keeper[1], keeper[2]
    local is_behind = group.position and group.position < number
    if is_behind or group.keep then
      probe(keys, '')
      found[#found + 1] = { keys, group, is_behind, group.keep and now() - group.keep }
    elseif group.position then
      is_listed({ keeper }, '')
    end
  end
  return found
end

-- Lists for the groups that are behind what is about to leave the history, and gives up what is too old for others.
local function catch_up(keys, store, groups, number, most)
  local moved = false
  for _, group in ipairs(groups) do
    local more = group[3]
    while more do
      more, moved = list(group[1], store, group[2], number, LIST_AT_ONCE, group[4]), true
    end
    if group[4] then
      give_up_listed(group[1], store, group[4], most)
    end
  end
  if moved then
    save_groups(keys, store)
  end
end

-- Forgets up to `most` of the oldest of the history: those beyond `keep`, or those that finished up to a time; and
-- with them what every group has handled. What is no record of a completion goes with what is around it. Where the keys of
-- a group are in the way nothing is forgotten, and the reason is given.
local function trim(keys, store, keep, time, most)
  local excess = math.min(keep and redis.call('XLEN', keys[3]) - keep or most, most)
  if excess <= 0 then
    return 0
  end
  local oldest = redis.call('XRANGE', keys[3], '-', '+', 'COUNT', whole(excess))
  local last, gone = nil, 0
  for _, entry in ipairs(oldest) do
    local record = fields(entry)
    local execution = time and record.e and finished(keys, record.e)
    if execution and execution[5] > time then
      break
    end
    last, gone = record, gone + 1
  end
  if gone == 0 then
    return 0
  end
  local number, sequence = id(oldest[gone])
  local groups = keepers(keys, store)
  local fine, found = pcall(concerned, groups, number)
  if not fine then
    return 0, found
  end
  catch_up(keys, store, found, number, gone + 1)
  for at = 1, gone do
    local execution_id = fields(oldest[at]).e
    if execution_id and not is_listed(groups, execution_id) then
      redis.call('HDEL', keys[2], execution_id)
    end
  end
  redis.call('XTRIM', keys[3], 'MINID', '=', whole(number) .. '-' .. whole(sequence + 1))
  store.trimmed = oldest[gone][1]
  redis.call('HSET', keys[1], 'trimmed', store.trimmed, 'trimmed_check', last.c or '')
  return gone
end

-- Gives up for every group up to `most` of what it has not handled and keeps no longer.
local function give_up(keys, store, most)
  local count = 0
  for _, group in ipairs(concerned(keepers(keys, store), 0)) do
    if count < most then
      count = count + give_up_listed(group[1], store, group[4], most - count)
    end
    if count < most then
      count = count + give_up_behind(keys, store, group[2], group[4], most - count)
    end
  end
  if count > 0 then
    save_groups(keys, store)
  end
  return count
end

-- Empties the work of a group that was removed, about `most` executions of it, and says whether that was all.
local function clean(keys, store, name, most)
  local of = of_group(keys, name)
  local count = 0
  for _, at in ipairs({ 4, 8 }) do
    for _, execution_id in ipairs(redis.call('ZRANGE', of[at], '0', whole(most - 1))) do
      local execution = finished(of, execution_id)
      if execution then
        unlist(of, store, execution_id, execution)
      end
      redis.call('ZREM', of[at], execution_id)
      redis.call('HDEL', of[5], execution_id)
      count = count + 1
    end
  end
  -- What is left then is of executions whose records could not be read.
  for _, at in ipairs(count == 0 and { 6, 7 } or {}) do
    for _, member in ipairs(redis.call('ZRANGE', of[at], '0', whole(most - 1))) do
      redis.call('ZREM', of[at], member)
      count = count + 1
    end
  end
  if count == 0 then
    store.groups[name] = name == UNNAMED and { removed = CLEAN } or nil
  end
  save_groups(keys, store)
  return count == 0
end

-- trim(keep, most): how many were forgotten, but for the newest `keep`; to be called until that is less than `most`.
local function trim_to(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local gone, blocked = trim(keys, store, tonumber(args[1]), nil, tonumber(args[2]))
  return blocked or gone
end

-- prune(microseconds, most): {forgotten, given up, more}: how many were forgotten that are older, how much groups gave up
-- that keep it no longer, and whether to call again.
local function prune(keys, args)
  local store, problem = open(keys)
  if not store then
    return problem
  end
  local most = tonumber(args[2])
  local given_up = give_up(keys, store, most)
  local more = given_up >= most
  for name, group in pairs(store.groups) do
    if group.removed == REMOVED and not clean(keys, store, name, most) then
      more = true
    end
  end
  local gone, blocked = trim(keys, store, nil, now() - tonumber(args[1]), most)
  return blocked or { gone, given_up, (more or gone >= most) and 1 or 0 }
end
