/** What the API knows for the person who is signed in, cached by RTK Query. */

import { type BaseQueryFn, createApi } from '@reduxjs/toolkit/query/react'

import type {
  ChangedConversation,
  Conversation,
  ConversationPage,
  Invitation,
  KeyList,
  KeyWithSecret,
  LinkWithSecret,
  Me,
  NewConversation,
  NewKey,
  NewLink,
  NewRole,
  PeoplePage,
  PersonView,
} from '../api.ts'
import type { Problem } from '../shared/problem.ts'
import { type Call, call, type Caller } from './apiCalls.ts'
import type { Refusal } from './refusals.ts'

/** What the store's thunks get. */
export interface Extra {
  origin: string
  caller: Caller
}

interface OfConversation {
  id: string
}

interface OfPerson {
  subject: string
}

/** Others change what is shown: what was read before is shown at once, and read again. */
export const FRESH = { refetchOnMountOrArgChange: true }

const NO_PERSON: Problem = {
  title: 'There is no such person any more.',
  advice: 'Look at the list again.',
}

const callApi: BaseQueryFn<Call, unknown, Refusal> = (wanted, { extra }) => {
  const { origin, caller } = extra as Extra
  return call(origin, caller, wanted)
}

export const api = createApi({
  reducerPath: 'api',
  baseQuery: callApi,
  tagTypes: ['List', 'Conversation', 'Keys', 'People'],
  endpoints: (build) => ({
    listConversations: build.infiniteQuery<ConversationPage, undefined, string | null>({
      infiniteQueryOptions: {
        initialPageParam: null,
        getNextPageParam: ({ cursor }) => cursor ?? undefined,
      },
      query: ({ pageParam }) => ({ path: pageAt('/conversations', pageParam) }),
      providesTags: ['List'],
    }),
    createConversation: build.mutation<Conversation, NewConversation>({
      query: (body) => ({ path: '/conversations', method: 'POST', body }),
      invalidatesTags: ['List'],
    }),
    getConversation: build.query<Conversation, OfConversation>({
      query: ({ id }) => ({ path: pathOf(id) }),
      providesTags: (_, __, { id }) => [{ type: 'Conversation', id }],
    }),
    renameConversation: build.mutation<Conversation, OfConversation & ChangedConversation>({
      query: ({ id, ...body }) => ({ path: pathOf(id), method: 'PATCH', body }),
      // After a refusal, too: somebody else may have changed it.
      invalidatesTags: (_, __, { id }) => ['List', { type: 'Conversation', id }],
    }),
    shareConversation: build.mutation<LinkWithSecret, OfConversation & NewLink>({
      query: ({ id, ...body }) => ({ path: `${pathOf(id)}/links`, method: 'POST', body }),
      invalidatesTags: (_, __, { id }) => [{ type: 'Conversation', id }],
    }),
    revokeLink: build.mutation<Conversation, OfConversation & { linkId: string }>({
      query: ({ id, linkId }) => ({
        path: `${pathOf(id)}/links/${encodeURIComponent(linkId)}`,
        method: 'DELETE',
      }),
      invalidatesTags: (_, __, { id }) => [{ type: 'Conversation', id }],
    }),
    giveRole: build.mutation<Conversation, OfConversation & OfPerson & NewRole>({
      query: ({ id, subject, role }) => ({
        path: `${pathOf(id)}/people/${encodeURIComponent(subject)}`,
        method: 'PUT',
        body: { role },
      }),
      invalidatesTags: (_, __, { id }) => [{ type: 'Conversation', id }],
    }),
    removePerson: build.mutation<Conversation, OfConversation & OfPerson>({
      query: ({ id, subject }) => ({
        path: `${pathOf(id)}/people/${encodeURIComponent(subject)}`,
        method: 'DELETE',
      }),
      invalidatesTags: (_, __, { id }) => [{ type: 'Conversation', id }],
    }),
    getMe: build.query<Me, undefined>({ query: () => ({ path: '/me' }) }),
    listKeys: build.query<KeyList, undefined>({
      query: () => ({ path: '/keys' }),
      providesTags: ['Keys'],
    }),
    addKey: build.mutation<KeyWithSecret, NewKey>({
      query: (body) => ({ path: '/keys', method: 'POST', body }),
      invalidatesTags: ['Keys'],
    }),
    removeKey: build.mutation<null, { keyId: string }>({
      query: ({ keyId }) => ({ path: `/keys/${encodeURIComponent(keyId)}`, method: 'DELETE' }),
      invalidatesTags: ['Keys'],
    }),
    listPeople: build.infiniteQuery<PeoplePage, undefined, string | null>({
      infiniteQueryOptions: {
        initialPageParam: null,
        getNextPageParam: ({ cursor }) => cursor ?? undefined,
      },
      query: ({ pageParam }) => ({ path: pageAt('/people', pageParam) }),
      providesTags: ['People'],
    }),
    /** Finds a person's id by the e-mail address; null where nobody has it. */
    findPerson: build.query<string | null, { email: string }>({
      queryFn: async ({ email }, _, __, ask) => {
        let cursor: string | null = null
        do {
          const answer: Awaited<ReturnType<typeof ask>> = await ask({
            path: pageAt('/people', cursor),
          })
          if ('error' in answer) return { error: answer.error }
          const page = answer.data as PeoplePage
          const found = page.people.find((each) => isSameAddress(each.email, email))
          if (found !== undefined) return { data: found.subject }
          cursor = page.cursor ?? null
        } while (cursor !== null)
        return { data: null }
      },
    }),
    invite: build.mutation<PersonView, Invitation>({
      query: (body) => ({ path: '/people', method: 'POST', body }),
      invalidatesTags: ['People'],
    }),
    changePerson: build.mutation<PersonView, { user: string; isBlocked: boolean }>({
      query: ({ user, isBlocked }) => ({
        path: `/people/${encodeURIComponent(user)}`,
        method: 'PATCH',
        body: { isBlocked },
      }),
      transformErrorResponse: (refusal) =>
        refusal.reason === 'not_found' ? { ...refusal, ...NO_PERSON } : refusal,
      invalidatesTags: ['People'],
    }),
  }),
})

function pathOf(id: string): string {
  return `/conversations/${encodeURIComponent(id)}`
}

function pageAt(path: string, cursor: string | null): string {
  return cursor === null ? path : `${path}?cursor=${encodeURIComponent(cursor)}`
}

/** Issuers take no notice of case in addresses. */
function isSameAddress(one: string | null | undefined, other: string): boolean {
  return one?.toLowerCase() === other.toLowerCase()
}

export const {
  useListConversationsInfiniteQuery,
  useCreateConversationMutation,
  useGetConversationQuery,
  useRenameConversationMutation,
  useShareConversationMutation,
  useRevokeLinkMutation,
  useGiveRoleMutation,
  useRemovePersonMutation,
  useGetMeQuery,
  useListKeysQuery,
  useAddKeyMutation,
  useRemoveKeyMutation,
  useListPeopleInfiniteQuery,
  useLazyFindPersonQuery,
  useInviteMutation,
  useChangePersonMutation,
} = api
