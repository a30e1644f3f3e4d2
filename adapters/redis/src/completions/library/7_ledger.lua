
-- What is next behind a number of what a group has not handled, or of its dead letters, each as its number and its
-- execution; and the number up to which the history was looked at, where that is where it was looked for.
local function batch_of_scan(keys, store, group, dead, after)
  local listed = redis.call('ZRANGE', dead and keys[8] or keys[4], '(' .. whole(after), '+inf', 'BYSCORE',
    'LIMIT', '0', whole(SCAN_BATCH), 'WITHSCORES')
  local batch = {}
  for at = 1, #listed, 2 do
    batch[#batch + 1] = { tonumber(listed[at + 1]), listed[at] }
  end
  if #batch == 0 and group and not dead then
    local from = math.max(after, group.position)
    local upto
    batch, upto = behind(keys, store, from, nil, SCAN_BATCH)
    batch.upto = upto > from and upto or nil
  end
  return batch
end

-- scan(after, dead or '', most): {store, place to go on from or '', executions}, each with the error of a dead letter.
local function scan(keys, args)
  local store, group, problem = open_group(keys)
  if not store then
    return problem
  end
  local after, most = tonumber(args[1]), tonumber(args[3])
  local dead = args[2] ~= ''
  local executions, bytes = {}, 0
  local batch = {}
  repeat
    batch = batch_of_scan(keys, store, group, dead, after)
    for _, record in ipairs(batch) do
      if #executions == most or bytes > PAGE_BYTES then
        return { store.number, whole(after), executions }
      end
      after = record[1]
      local execution = finished(keys, record[2])
      if execution and execution[7] == record[1] then
        local kept = dead and lease_of(keys, record[2])[6] or false
        executions[#executions + 1] = { shown(record[2], execution), kept }
        bytes = bytes + #(execution[6] or '')
      end
    end
    after = batch.upto or after
  until #batch == 0 and not batch.upto
  return { store.number, '', executions }
end

-- The namespaces to take from, each as its names begin: behind the one that had the last turn, then from the
-- first on.
local function spaces_in_turn(keys, turn, most)
  local spaces, seen = {}, {}
  local from = turn == '' and '-' or '(' .. turn .. ':'
  local wrapped = turn == ''
  while #spaces < most do
    local first = redis.call('ZRANGE', keys[6], from, '+', 'BYLEX', 'LIMIT', '0', '1')[1]
    local space = first and string.sub(first, 1, 2 + tonumber(string.sub(first, 1, 2), 16))
    if space and not seen[space] then
      seen[space] = true
      spaces[#spaces + 1] = space
      from = '(' .. space .. ':'
    elseif wrapped then
      break
    else
      wrapped = true
      from = '-'
    end
  end
  return spaces
end

local function is_busy(lease, time)
  return (lease[1] ~= 0 and lease[2] > time) or lease[4] > time
end

-- What can be taken of the flow of an execution that is its first. Nothing where the flow is busy: it is looked
-- at again when that is over.
local function beginning(keys, execution_id, execution, tag, most, time)
  local prefix = flow_prefix(execution)
  local listed = redis.call('ZRANGE', keys[7], '[' .. prefix, '(' .. prefix .. ':', 'BYLEX',
    'LIMIT', '0', whole(math.max(most, 2)))
  local ids = {}
  for _, member in ipairs(listed) do
    local next_id = string.sub(member, #prefix + 17)
    local lease = lease_of(keys, next_id)
    if is_busy(lease, time) then
      if next_id ~= execution_id then
        -- A dead letter that was replayed came before what is claimed.
        local own = lease_of(keys, execution_id)
        local over = math.max(lease[1] ~= 0 and lease[2] or 0, lease[4])
        set_lease(keys, execution_id, execution, { 0, 0, own[3], over, true })
      end
      return {}
    end
    local next_one = finished(keys, next_id)
    if #ids == most or not next_one or (tag and part(next_one[3]) ~= tag) then
      break
    end
    ids[#ids + 1] = next_id
  end
  return ids
end

-- Lists what is next for a group, and says whether there is more.
local function list_next(keys, store, group)
  local position = group.position
  local more = list(keys, store, group, nil, LIST_AT_ONCE)
  if group.position ~= position then
    save_groups(keys, store)
  end
  return more
end

-- take(namespace or '', tag or '', most, most of a flow, microseconds): {store, more, leases}, each lease as
-- {token, failures, execution}.
local function take(keys, args)
  local store, group, problem = open_group(keys)
  if not store then
    return problem
  end
  local time = now()
  local more = group and list_next(keys, store, group) or false
  local last_turn = group and group.turn or not group and redis.call('HGET', keys[1], 'turn') or ''
  local tag = args[2] ~= '' and part(args[2])
  local left, of_a_flow = tonumber(args[3]), tonumber(args[4])
  local until_then = time + tonumber(args[5])
  local spaces = args[1] ~= '' and { part(args[1]) }
    or spaces_in_turn(keys, last_turn, SPACES_MOST)
  local taken, bytes, last = {}, 0, nil
  local function give(execution_id)
    local execution = finished(keys, execution_id)
    local lease = lease_of(keys, execution_id)
    local token = redis.call('HINCRBY', keys[1], 'tokens', '1')
    set_lease(keys, execution_id, execution, { token, until_then, lease[3], 0 })
    taken[#taken + 1] = { whole(token), whole(lease[3]), shown(execution_id, execution) }
    bytes = bytes + #(execution[6] or '')
    left = left - 1
  end
  for turn, space in ipairs(spaces) do
    more = more or left == 0
    local quota = math.ceil(left / (#spaces - turn + 1))
    local skipped, over = 0, left == 0
    while not over do
      local batch = redis.call('ZRANGE', keys[6], '[' .. space, '(' .. space .. padded(time + 1),
        'BYLEX', 'LIMIT', whole(skipped), whole(SCAN_BATCH))
      over = #batch == 0
      for _, member in ipairs(batch) do
        if quota == 0 or bytes > PAGE_BYTES then
          more, over = true, true
          break
        end
        local size = tonumber(string.sub(member, #space + 17, #space + 18), 16)
        local execution_id = string.sub(member, #space + 19 + size)
        local execution = finished(keys, execution_id)
        if not execution then
          redis.call('ZREM', keys[6], member)
        elseif tag and string.sub(member, #space + 17, #space + 18 + size) ~= tag then
          skipped = skipped + 1
        else
          local ids = { execution_id }
          if execution[1] ~= '' then
            ids = beginning(keys, execution_id, execution, tag, math.min(of_a_flow, quota), time)
          end
          if #ids == 0 and redis.call('ZSCORE', keys[6], member) then
            -- Its record cannot be read.
            skipped = skipped + 1
          end
          for _, next_id in ipairs(ids) do
            if bytes > PAGE_BYTES then
              more = true
              break
            end
            give(next_id)
            quota = quota - 1
            last = space
          end
        end
      end
    end
  end
  if more and last and #spaces > 1 and group then
    group.turn = last
    save_groups(keys, store)
  elseif more and last and #spaces > 1 then
    redis.call('HSET', keys[1], 'turn', last)
  end
  return { store.number, more and 1 or 0, taken }
end

-- renew(microseconds, id, token, ...): the tokens of the claims that are void.
local function renew(keys, args)
  local store, _, problem = open_group(keys)
  if not store then
    return problem
  end
  local time = now()
  local void = {}
  for at = 2, #args, 2 do
    local lease = held(keys, args[at], args[at + 1])
    local execution = lease and finished(keys, args[at])
    if execution and lease[2] > time then
      set_lease(keys, args[at], execution, { lease[1], time + tonumber(args[1]), lease[3], 0 })
    elseif redis.call('ZSCORE', keys[4], args[at]) then
      void[#void + 1] = args[at + 1]
    end
  end
  return void
end

-- settle(id, token, verdict, pause in microseconds, error of a dead letter, ...): how many of these claims held.
local function settle(keys, args)
  local store, _, problem = open_group(keys)
  if not store then
    return problem
  end
  local time = now()
  local count = 0
  for at = 1, #args, 5 do
    local execution_id, verdict = args[at], args[at + 2]
    local lease = held(keys, execution_id, args[at + 1])
    local execution = lease and finished(keys, execution_id)
    if execution and verdict == 'handled' then
      unlist(keys, store, execution_id, execution)
      promote(keys, execution)
    elseif execution and verdict == 'dead' then
      unindex(keys, execution_id, execution)
      redis.call('ZREM', keys[4], execution_id)
      redis.call('ZADD', keys[8], whole(execution[7]), execution_id)
      redis.call('HSET', keys[5], execution_id,
        cmsgpack.pack({ 0, 0, lease[3] + 1, 0, false, args[at + 4] }))
      promote(keys, execution)
    elseif execution and verdict == 'failed' then
      set_lease(keys, execution_id, execution,
        { 0, 0, lease[3] + 1, time + tonumber(args[at + 3]) })
    elseif execution then
      set_lease(keys, execution_id, execution, { 0, 0, lease[3], 0 })
    end
    if execution then
      unblock(keys, execution)
      count = count + 1
    end
  end
  return count
end

-- replay(id...): how many of these were dead letters, and are to be handled again.
local function replay(keys, args)
  local store, _, problem = open_group(keys)
  if not store then
    return problem
  end
  local count = 0
  for _, execution_id in ipairs(args) do
    local execution = redis.call('ZSCORE', keys[8], execution_id) and finished(keys, execution_id)
    if execution then
      redis.call('ZREM', keys[8], execution_id)
      redis.call('ZADD', keys[4], whole(execution[7]), execution_id)
      redis.call('HDEL', keys[5], execution_id)
      index(keys, execution_id, execution)
      count = count + 1
    end
  end
  return count
end
